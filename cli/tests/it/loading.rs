//! Images reach clusters: directly in the nodes of kind, by the loaders of other tools, or not at all if that is not
//! needed.

use crate::{chefcito::Ran, nodes::PlayedNode, registry::Registry, restaurant::Restaurant};

/// How many images an environment has: eight of ours, PostgreSQL and Redis.
const IMAGES: usize = 10;
/// The file to which the simulated loaders write their arguments.
const NOTED: &str = "noted";

/// Prepares an environment on a kind cluster of its own, and its first node.
fn on_kind(story: &str) -> Option<(Restaurant, PlayedNode, Vec<String>)> {
    let mut it = Restaurant::prepare(story)?;
    let cluster = it.cluster.name.clone();
    let node = PlayedNode::start(&mut it.cluster.home, &cluster)?;
    let context = format!("kind-{cluster}");
    it.cluster.put_context(&context, None);
    let up = up(&context);
    Some((it, node, up))
}

fn up(context: &str) -> Vec<String> {
    let args = ["up", "--runtime", "kubernetes", "--port", "0", "--timeout", "180s", "--context"];
    args.into_iter().chain([context]).map(str::to_owned).collect()
}

fn run(it: &Restaurant, up: &[String], more: &[&str]) -> Ran {
    let up: Vec<&str> = up.iter().map(String::as_str).collect();
    it.run(&[&up[..], more].concat())
}

/// Returns the lines of a command about loading.
fn loaded(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.starts_with("Loaded ")).collect()
}

#[test]
fn nodes_of_kind_are_given_what_they_lack_and_nothing_else() {
    let Some((it, node, up)) = on_kind("loading") else { return };
    let plan = run(&it, &up, &["--dry-run"]);
    let loads = plan.stdout.lines().find_map(|line| line.strip_prefix("load "));
    assert_eq!(loads.unwrap().split(", ").count(), IMAGES, "{plan}");

    let first = run(&it, &up, &[]);
    assert_eq!(first.code, Some(0), "{first}");
    let [all] = loaded(&first)[..] else { panic!("{first}") };
    assert!(all.starts_with("Loaded 10 images into NAME-control-plane: "), "{first}");
    assert_eq!(node.images().len(), IMAGES);

    let again = run(&it, &up, &[]);
    assert!(again.stderr.contains("Already up") && loaded(&again).is_empty(), "{again}");

    // An image that the node lost.
    let kitchen =
        node.images().into_iter().find(|name| name.starts_with("chefcito-kitchen:")).unwrap();
    node.ctr(&["images", "rm", &format!("docker.io/library/{kitchen}")]);
    let plan = run(&it, &up, &["--dry-run"]);
    assert!(plan.stdout.starts_with(&format!("load {kitchen}\n")), "{plan}");
    let one = run(&it, &up, &[]);
    assert!(loaded(&one)[0].starts_with("Loaded 1 image into"), "{one}");
    assert!(node.images().contains(&kitchen));

    // An image whose name refers to another one on the node.
    let (redis, postgres) = ("docker.io/library/redis:7.4.5", "docker.io/library/postgres:17.6");
    node.ctr(&["images", "tag", "--force", redis, postgres]);
    let plan = run(&it, &up, &["--dry-run"]);
    assert!(plan.stdout.starts_with("load postgres:17.6\n"), "{plan}");
    let moved = run(&it, &up, &[]);
    assert!(loaded(&moved)[0].starts_with("Loaded 1 image into"), "{moved}");
    let again = run(&it, &up, &[]);
    assert!(again.stderr.contains("Already up") && loaded(&again).is_empty(), "{again}");

    // A second node has nothing yet.
    let second = PlayedNode::of(&it.cluster.name, "worker", &["--volume", "/var/lib/containerd"]);
    let joined = run(&it, &up, &[]);
    assert_eq!(loaded(&joined).len(), 1, "{joined}");
    assert!(loaded(&joined)[0].starts_with("Loaded 10 images into NAME-worker: "), "{joined}");
    assert_eq!(second.images().len(), IMAGES);

    // Nodes pull images that only a registry has.
    let Some(registry) = Registry::start(false) else { return };
    let pulled = run(&it, &up, &["--push", &format!("{}/chefcito", registry.address)]);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    assert!(pulled.stderr.contains("Pushed 8 of 8") && loaded(&pulled).is_empty(), "{pulled}");
}

#[test]
fn a_node_that_can_take_no_images_says_why() {
    let Some((it, node, up)) = on_kind("spoilt") else { return };
    node.end_containerd();
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("the node NAME-control-plane could not do `ctr"), "{ran}");
    assert!(
        ran.stderr
            .contains("hint: its containerd does not answer: `docker restart NAME-control-plane`"),
        "{ran}"
    );
    drop(node);

    let small = ["--tmpfs", "/var/lib/containerd:size=48m,exec"];
    let node = PlayedNode::of(&it.cluster.name, "control-plane", &small);
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("no space left on device"), "{ran}");
    assert!(ran.stderr.contains("hint: free some room"), "{ran}");
    drop(node);
}

/// Prepares an environment on a cluster of another tool, with a loader that records its arguments.
fn by_program(
    story: &str,
    context: &str,
    provider: Option<&str>,
    program: Option<(&str, &str)>,
) -> Option<(Restaurant, Vec<String>)> {
    let mut it = Restaurant::prepare(story)?;
    if !it.cluster.home.find_engine() {
        return None;
    }
    it.cluster.put_context(context, provider);
    if let Some((name, script)) = program {
        let noted = it.cluster.home.path().join(NOTED);
        let script = format!("echo {name} \"$@\" >> '{}'\n{script}", noted.display());
        it.cluster.home.put_program(name, &script);
    }
    Some((it, up(context)))
}

fn noted(it: &Restaurant) -> String {
    std::fs::read_to_string(it.cluster.home.path().join(NOTED)).unwrap_or_default()
}

#[test]
fn k3d_imports_the_images_of_the_engine() {
    let Some((it, up)) = by_program("imported", "k3d-tasting", None, Some(("k3d", ""))) else {
        return;
    };
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stderr.contains("images into the cluster of k3d `tasting` in "), "{ran}");
    let reported = noted(&it);
    assert!(
        reported.starts_with("k3d image import -c tasting chefcito-")
            && reported.contains(" postgres:17.6"),
        "{reported}"
    );
}

#[test]
fn minikube_loads_the_images_that_it_lacks() {
    let script = "case \"$*\" in *ls) echo docker.io/library/postgres:17.6; echo docker.io/library/redis:7.4.5;; esac";
    let provider = Some("minikube.sigs.k8s.io");
    let Some((it, up)) = by_program("minikube", "tasting", provider, Some(("minikube", script)))
    else {
        return;
    };
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let reported = noted(&it);
    let load = reported.lines().nth(1).unwrap();
    assert!(load.starts_with("minikube -p test image load chefcito-board:c-"), "{reported}");
    assert!(!load.contains("postgres"), "it has that: {reported}");
}

#[test]
fn a_program_that_is_not_there_is_named_and_one_that_fails_is_quoted() {
    let Some((it, up)) = by_program("missing", "k3d-tasting", None, None) else { return };
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("needs `k3d`, which this machine lacks"), "{ran}");
    assert!(
        ran.stderr.contains(
            "hint: install it (https://k3d.io), or let the cluster pull: `--push REGISTRY`"
        ),
        "{ran}"
    );
    it.cluster.home.put_program("k3d", "echo 'no cluster tasting' >&2; exit 1");
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("k3d could not `k3d image import -c tasting`\n"), "{ran}");
    assert!(ran.stderr.contains("because: no cluster tasting"), "{ran}");
}

#[test]
fn nodes_that_share_the_engines_images_are_given_none() {
    let Some((it, up)) = by_program("shared", "orbstack", None, None) else { return };
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(loaded(&ran).is_empty() && !ran.stderr.contains("warning"), "{ran}");
}

#[test]
fn for_an_unknown_cluster_the_images_that_it_must_have_are_listed() {
    let Some((it, up)) = by_program("unknown", "cloud", None, None) else { return };
    let ran = run(&it, &up, &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let warned = ran.stderr.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(warned.contains("the nodes of this cluster must have 8 images already; `--push REGISTRY` lets them pull: chefcito-"), "{ran}");
    let again = run(&it, &up, &[]);
    assert!(!again.stderr.contains("warning"), "nothing is to be pulled: {again}");
}
