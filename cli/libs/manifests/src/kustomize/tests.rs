//! Kustomizations of a few lines each.

mod generated;

use std::{fs, path::Path, process::Command};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

/// A Deployment with two of everything that can be changed.
const TEA: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: tea
  labels:
    app.kubernetes.io/component: service
spec:
  template:
    spec:
      containers:
        - name: tea
          image: chefcito-tea:dev
          env:
            - name: HEAT
              value: \"90\"
            - name: SUGAR
              value: \"2\"
          envFrom:
            - configMapRef:
                name: settings
      volumes:
        - name: secrets
          secret:
            secretName: secrets
";
const BASE: &str = "\
resources: [tea.yaml]
configMapGenerator:
  - name: settings
    literals: [CUPS=4, 'LEAVES=\"green\"']
";

fn tree(files: &[(&str, &str)]) -> Tree {
    let always = [("base/kustomization.yaml", BASE), ("base/tea.yaml", TEA)];
    Tree::of_files(&[&always[..], files].concat())
}

/// Renders the folder `top` with this kustomization on the base.
fn top(more: &str) -> Result<Vec<Object>> {
    let text = format!("resources: [../base]\n{more}");
    render(&tree(&[("top/kustomization.yaml", &text)]), "top", &Adjustments::default())
}

fn one<'a>(objects: &'a [Object], kind: &str) -> &'a Value {
    objects.iter().find(|object| object.kind() == kind).unwrap().value()
}

fn said(result: Result<Vec<Object>>) -> String {
    result.map_or_else(|error| error.to_string(), |objects| format!("{} objects", objects.len()))
}

#[test]
fn a_folder_becomes_objects_that_know_each_other() {
    let more = "
namespace: tasting
labels: [{pairs: {part-of: meal}}]
images: [{name: chefcito-tea, newName: registry.example/tea, newTag: c-1}]
replicas: [{name: tea, count: 3}]
secretGenerator:
  - name: secrets
    literals: [key=leaf]
patches:
  - target: {kind: Deployment, labelSelector: app.kubernetes.io/component=service}
    patch: |-
      - op: add
        path: /metadata/annotations
        value: {hot: very}
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: tea
      spec:
        template:
          spec:
            containers:
              - name: tea
                env:
                  - name: SUGAR
                    $patch: delete
                  - name: MILK
                    value: 'no'
                  - name: HEAT
                    value: '95'
";
    let objects = top(more).unwrap();
    let texts: Vec<String> = objects.iter().map(|object| yaml::text_of(object.value())).collect();
    assert_snapshot!(texts.join("---\n"));
}

#[test]
fn components_change_what_is_there_and_bring_more() {
    let component = "\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
configMapGenerator:
  - name: settings
    behavior: merge
    literals: [CUPS=8, SPOONS=8]
replicas: [{name: tea, count: 2}]
";
    let files = [
        ("top/kustomization.yaml", "resources: [../base]\ncomponents: [../many]\n"),
        ("many/kustomization.yaml", component),
    ];
    let objects = render(&tree(&files), "top", &Adjustments::default()).unwrap();
    let expected = json!({ "CUPS": "8", "LEAVES": "green", "SPOONS": "8" });
    assert_eq!(one(&objects, "ConfigMap")["data"], expected);
    assert_eq!(one(&objects, "Deployment")["spec"]["replicas"], 2);
}

#[test]
fn a_caller_may_add_components() {
    let component = "kind: Component\nresources: [pot.yaml]\n";
    let tree = tree(&[
        ("top/kustomization.yaml", "resources: [../base]\nlabels: [{pairs: {part-of: meal}}]\n"),
        ("many/kustomization.yaml", component),
        ("many/pot.yaml", "{apiVersion: v1, kind: Service, metadata: {name: pot}}"),
        ("both/kustomization.yaml", "resources: [../base]\ncomponents: [../many]\n"),
    ]);
    let more = Adjustments { components: vec!["many"], ..Adjustments::default() };
    let objects = render(&tree, "top", &more).unwrap();
    let labels = &one(&objects, "Service")["metadata"]["labels"];
    assert_eq!(labels["part-of"], "meal", "as if the folder listed it");
    let listed = render(&tree, "both", &Adjustments::default()).unwrap();
    assert_eq!(listed, render(&tree, "both", &more).unwrap(), "it lists it already");
}

#[test]
fn a_caller_may_adjust_everything() {
    let pairs = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let image = NewImage { tag: Some("c-2".into()), ..NewImage::default() };
    let adjustments = Adjustments {
        namespace: Some("tasting".into()),
        labels: pairs("environment", "tasting"),
        images: BTreeMap::from([("chefcito-tea".into(), image)]),
        replicas: BTreeMap::from([("tea".into(), 5)]),
        settings: BTreeMap::from([("settings".into(), pairs("CUPS", "1"))]),
        ..Adjustments::default()
    };
    let plain = render(&tree(&[]), "base", &Adjustments::default()).unwrap();
    let adjusted = render(&tree(&[]), "base", &adjustments).unwrap();
    let deployment = one(&adjusted, "Deployment");
    assert_eq!(deployment["metadata"]["namespace"], "tasting");
    assert_eq!(deployment["metadata"]["labels"]["environment"], "tasting");
    assert_eq!(deployment["spec"]["replicas"], 5);
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        "chefcito-tea:c-2"
    );
    let map = one(&adjusted, "ConfigMap");
    assert_eq!(map["data"]["CUPS"], "1");
    assert_ne!(map["metadata"]["name"], one(&plain, "ConfigMap")["metadata"]["name"]);
    for bad in [
        Adjustments { components: vec!["many"], ..Adjustments::default() },
        Adjustments { replicas: BTreeMap::from([("coffee".into(), 1)]), ..Adjustments::default() },
        Adjustments {
            settings: BTreeMap::from([("coffee".into(), pairs("a", "b"))]),
            ..Adjustments::default()
        },
    ] {
        assert!(said(render(&tree(&[]), "base", &bad)).contains("there is no"), "{bad:?}");
    }
}

#[test]
fn what_chefcito_does_not_do_is_refused_with_its_place() {
    let refused = [
        "namePrefix: a-",
        "commonLabels: {a: b}",
        "patchesStrategicMerge: [a.yaml]",
        "bases: [../base]",
        "helmCharts: []",
        "x-own: 1",
        "kind: Chart",
        "apiVersion: kustomize.config.k8s.io/v2",
        "labels: [{pairs: {a: b}, includeSelectors: true}]",
        "labels: [{pairs: {a: b}, fields: []}]",
        "configMapGenerator: [{name: a, env: a.env}]",
        "configMapGenerator: [{literals: [a=b]}]",
        "configMapGenerator: [{name: a, literals: [a]}]",
        "configMapGenerator: [{name: a, literals: [a=1, a=2]}]",
        "configMapGenerator: [{name: a, literals: ['a b=1']}]",
        "configMapGenerator: [{name: other, behavior: merge}]",
        "configMapGenerator: [{name: settings}]",
        "configMapGenerator: [{name: settings, behavior: mix}]",
        "secretGenerator: [{name: a, envs: [none.env]}]",
        "images: [{name: a, newtag: b}]",
        "replicas: [{name: coffee, count: 1}]",
        "replicas: [{name: tea, count: many}]",
        "patches: [{target: {name: tea.*}, patch: '[]'}]",
        "patches: [{target: {labelSelector: 'a in (b)'}, patch: '[]'}]",
        "patches: [{target: {annotationSelector: a=b}, patch: '[]'}]",
        "patches: [{target: {kind: Deployment}}]",
        "patches: [{target: {kind: Job}, patch: '{apiVersion: batch/v1, kind: Job, metadata: {name: a}}'}]",
        "patches: [{target: {kind: Deployment}, patch: '{metadata: {labels: {a: b}}}'}]",
        "patches: [{patch: '[{op: remove, path: /spec}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: copy, path: /a, from: /b}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: replace, path: /metadata/name, value: b}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: tea}, spec: {$retainKeys: [a]}}'}]",
        "patches: [{target: {kind: Deployment}, patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: tea}, spec: {template: {spec: {containers: [{image: a}]}}}}'}]",
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: tea, annotations: {a: null}}}'}]",
        "patches: [{patch: 'a: b: c'}]",
        "patches: [{path: none.yaml}]",
        "components: [../base]",
        "components: [../../../etc]",
        "components: [https://example.org/base]",
        "a: b: c",
    ];
    let lines: Vec<String> =
        refused.iter().map(|more| format!("{more}\n    {}", said(top(more)))).collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn files_that_are_missing_or_spoiled_are_named() {
    let render_top = |text: &str, files: &[(&str, &str)]| {
        let files = [&[("top/kustomization.yaml", text)][..], files].concat();
        said(render(&tree(&files), "top", &Adjustments::default()))
    };
    let object = |body: &str| render_top("resources: [a.yaml]", &[("top/a.yaml", body)]);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let cases = [
        said(render(&tree(&[]), "nowhere", &Adjustments::default())),
        render_top("resources: [a.yaml]", &[]),
        render_top("resources: [../base, ../base]", &[]),
        render_top("resources: [../empty]", &[("empty/a.yaml", map)]),
        render_top("resources: [../top]", &[]),
        render_top(
            "resources: [../left]",
            &[
                ("left/kustomization.yaml", "resources: [../right]"),
                ("right/kustomization.yaml", "resources: [../left]"),
            ],
        ),
        render_top(
            "components: [../c]",
            &[("c/kustomization.yaml", "kind: Component\ncomponents: [../c]")],
        ),
        render_top("", &[]),
        render_top("[]", &[]),
        render_top("a: &a [*a]", &[]),
        render_top("namespace: a\n---\nnamespace: b", &[]),
        render_top("namespace: a\nnamespace: b", &[]),
        object("- a"),
        object("kind: ConfigMap"),
        object("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ''}"),
        object("apiVersion: v1\nkind: Pod\nmetadata: {name: a}"),
        object(&format!("{map}---\n{map}")),
        object("a: [b\nc"),
        object(map),
        object(&format!("# nothing\n---\n{map}---\n")),
        object(&format!("{map}data: {{a: x, a: y}}")),
    ];
    assert_snapshot!(cases.join("\n"));
}

/// Renders a folder of one object, which is this text.
fn of_text(object: &str) -> Result<Vec<Object>> {
    let files = [("top/kustomization.yaml", "resources: [a.yaml]"), ("top/a.yaml", object)];
    render(&tree(&files), "top", &Adjustments::default())
}

#[test]
fn values_are_those_that_kubectl_takes_them_for() {
    let pod = "{volumes: [{name: s, secret: {secretName: s, defaultMode: 0400}}], x: [1.10, 1e3, 1_000, yes]}";
    let object = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}, spec: {{template: {{spec: {pod}}}}}}}"
    );
    let objects = of_text(&object).unwrap();
    let pod = &objects[0].value()["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["defaultMode"], 256);
    assert_eq!(pod["x"], json!([1.1, 1000, 1000, "yes"]));
    let inheriting = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: &all {app: web, tier: back}\n  \
                      annotations: {<<: *all, tier: front}\n";
    let objects = of_text(&format!("\u{feff}---\n---\n{inheriting}")).unwrap();
    let annotations = &objects[0].value()["metadata"]["annotations"];
    assert_eq!(*annotations, json!({ "app": "web", "tier": "front" }));
}

#[test]
fn values_that_would_become_others_are_refused() {
    let map = |field: &str| {
        said(of_text(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{field}")))
    };
    let said = [
        map("data: {9000: a}"),
        map("data: {a: 123456789012345678901}"),
        map("data: {a: 2026-01-31}"),
        map("data: {a: .inf}"),
        said(of_text(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {version: 1.10}}}",
        )),
        said(of_text("{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}}")),
        said(top("images: [{name: chefcito-tea, newTag: 1.10}]")),
        said(top("images: [{name: chefcito-tea, newTag: 706798e8}]")),
        said(top("labels: [{pairs: {version: 1.10}}]")),
        said(top("labels: [{pairs: {hot: yes}}]")),
        said(top("replicas: [{name: tea, count: '3'}]")),
    ];
    assert_snapshot!(said.join("\n"));
}

#[test]
fn names_of_generated_objects_reach_all_that_refer_to_them() {
    let init = "{name: i, env: [{name: P, valueFrom: {secretKeyRef: {name: passwords, key: p}}}, \
                {name: C, valueFrom: {configMapKeyRef: {name: settings, key: c}}}]}";
    let more = format!("
secretGenerator: [{{name: passwords, literals: [p=x]}}]
resources: [../base, more.yaml]
patches:
  - patch: '{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: tea}}, spec: {{template: {{spec: {{initContainers: [{init}]}}}}}}}}'
");
    let others = "\
{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, imagePullSecrets: [{name: passwords}]}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: b, namespace: other}, imagePullSecrets: [{name: passwords}]}
";
    let files = [("top/kustomization.yaml", &*more), ("top/more.yaml", others)];
    let objects = render(&tree(&files), "top", &Adjustments::default()).unwrap();
    let name = |kind| &one(&objects, kind)["metadata"]["name"];
    let env = &one(&objects, "Deployment")["spec"]["template"]["spec"]["initContainers"][0]["env"];
    assert_eq!(env[0]["valueFrom"]["secretKeyRef"]["name"], *name("Secret"));
    assert_eq!(env[1]["valueFrom"]["configMapKeyRef"]["name"], *name("ConfigMap"));
    assert_eq!(one(&objects, "ServiceAccount")["imagePullSecrets"][0]["name"], *name("Secret"));
    let other = objects.iter().find(|object| object.namespace() == "other").unwrap();
    assert_eq!(
        other.value()["imagePullSecrets"][0]["name"],
        "passwords",
        "it is in another namespace"
    );
}

/// Features that the overlays do not use yet, but may.
#[test]
fn kubectl_makes_the_same_of_all_that_is_done() {
    let Some(kubectl) = kubectl() else { return };
    let more = "
generatorOptions: {labels: {made: here}, annotations: {by: hand}}
labels: [{pairs: {part-of: meal}}, {pairs: {of: today}}]
images:
  - {name: chefcito-tea, newName: 'registry.example:5000/tea', digest: 'sha256:0123'}
  - {name: milk, newTag: fresh}
configMapGenerator:
  - name: settings
    behavior: replace
    literals: ['CUPS=<6> & \"more\"', EMPTY=]
    files: [recipe.txt, other=recipe.txt]
  - {name: plain, literals: [a=b], options: {disableNameSuffixHash: true}}
secretGenerator:
  - {name: secrets, envs: [secrets.env], type: kubernetes.io/opaque}
patches:
  - path: patch.yaml
  - path: operations.yaml
    target: {group: apps, version: v1, kind: Deployment, name: tea}
  - target: {kind: Deployment}
    patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, annotations: {hot: very}}, spec: {strategy: {$patch: replace, type: Recreate}}}'
";
    let patch = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: tea, labels: {app.kubernetes.io/component: null}}
spec:
  template:
    spec:
      initContainers: [{name: milk, image: 'milk:old', envFrom: [{secretRef: {name: secrets}}]}]
      containers:
        - name: sugar
          image: sugar:1
        - name: tea
          ports: [{containerPort: 1, protocol: TCP}]
          env: [{name: SUGAR, $patch: delete}, {name: MILK, value: 'no'}, {name: HEAT, value: '95'}]
          envFrom: [{secretRef: {name: secrets}}]
      volumes:
        - {name: settings, configMap: {name: settings}}
        - {name: secrets, secret: {defaultMode: 288}}
";
    let operations = "\
- {op: test, path: /metadata/name, value: tea}
- {op: add, path: /spec/template/spec/containers/0/args, value: [hot, 'off']}
- {op: remove, path: /spec/template/spec/containers/1/ports}
";
    let top = format!("resources: [../base]\n{more}");
    let files = [
        ("base/kustomization.yaml", BASE),
        ("base/tea.yaml", TEA),
        ("top/kustomization.yaml", &*top),
        ("top/patch.yaml", patch),
        ("top/operations.yaml", operations),
        ("top/recipe.txt", "water\n\u{e9}t\u{e9} \u{2028} & <leaves>\n"),
        (
            "top/secrets.env",
            "# once\n\nlong=0123456789012345678901234567890123456789012345678901234567\n  short= a=b \n",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let ours = render(&Tree::of_files(&files), "top", &Adjustments::default()).unwrap();
    let theirs = rendered_by(&kubectl, &folder.path().join("top"));
    assert_eq!(by_id(ours.iter().map(Object::value)), by_id(&theirs));
}

/// Returns objects by their identity, so that a difference is easy to find.
fn by_id<'a>(objects: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, String> {
    let id = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (id(object), yaml::text_of(object))).collect()
}

/// Returns the objects that kubectl renders for a folder.
fn rendered_by(kubectl: &str, folder: &Path) -> Vec<Value> {
    let ran = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let documents = yaml::documents(&String::from_utf8(ran.stdout).unwrap()).unwrap();
    documents.iter().map(|document| in_one_line(document.to_json())).collect()
}

/// Kustomize breaks long secrets into lines.
fn in_one_line(mut object: Value) -> Value {
    let is_secret = object["kind"] == "Secret";
    if let Some(Value::Object(data)) = object.get_mut("data").filter(|_| is_secret) {
        for value in data.values_mut() {
            *value = value.as_str().unwrap().replace('\n', "").into();
        }
    }
    object
}

/// Finds a kubectl with a Kustomize that knows components: 1.27 or later.
fn kubectl() -> Option<String> {
    const MINOR_MIN: u32 = 27;
    let program = std::env::var("CHEFCITO_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".into());
    let asked = Command::new(&program).args(["version", "--client", "--output=json"]).output();
    let minor = asked.ok().and_then(|asked| {
        let version: Value = serde_json::from_slice(&asked.stdout).ok()?;
        version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse::<u32>().ok()
    });
    if minor.is_none_or(|minor| minor < MINOR_MIN) {
        test_support::lacking("kubectl 1.27 or later; set CHEFCITO_TEST_KUBECTL to its path");
        return None;
    }
    Some(program)
}

/// Texts that are hard to write: kubectl reads what we write as it was.
#[test]
fn kubectl_reads_every_text_that_is_written() {
    let Some(kubectl) = kubectl() else { return };
    let pieces = [
        "", " ", "\t", "\n", "a", ": ", " #", "- ", "'", "\"", "\\", "\r", "é", "?", "1", "|", "%",
    ];
    let three = |n: usize| -> String {
        [n, n / pieces.len(), n / pieces.len().pow(2)].map(|n| pieces[n % pieces.len()]).concat()
    };
    let texts = (0..pieces.len().pow(3)).map(three).map(Value::from);
    let data: serde_json::Map<String, Value> =
        texts.enumerate().map(|(n, text)| (format!("k{n}"), text)).collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": data});
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("texts.yaml"), yaml::text_of(&object)).unwrap();
    fs::write(folder.path().join("kustomization.yaml"), "resources: [texts.yaml]\n").unwrap();
    let read = rendered_by(&kubectl, folder.path());
    for (key, text) in object["data"].as_object().unwrap() {
        assert_eq!(&read[0]["data"][key], text, "{key}");
    }
}

/// The manifests of this checkout are the same to kubectl.
#[test]
fn kubectl_makes_the_same_of_our_environments() {
    let Some(kubectl) = kubectl() else { return };
    const SECRETS: &str = "overlays/local/secrets.env";
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let copy = tempfile::tempdir().unwrap();
    let manifests = root.join("manifests/kubernetes");
    let copied = Command::new("cp").arg("-r").arg(manifests).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let folder = copy.path().join("kubernetes");
    let secrets = "ORDERS_PASSWORD=first\nREDIS_PASSWORD=second, a long one: 0123456789abcdefghijklmnopqrstuvwxyz\n";
    fs::write(folder.join(SECRETS), secrets).unwrap();
    let tree = Tree::find(root).with_file(SECRETS, secrets);
    for overlay in ["overlays/local", "overlays/staging", "overlays/production"] {
        let ours = render(&tree, overlay, &Adjustments::default()).unwrap();
        let theirs = rendered_by(&kubectl, &folder.join(overlay));
        assert_eq!(by_id(ours.iter().map(Object::value)), by_id(&theirs), "{overlay}");
    }
}
