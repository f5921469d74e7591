//! Kustomizations of a few lines each.

use std::{fs, path::Path, process::Command};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::yaml;

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
pub(crate) fn by_id<'a>(objects: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, String> {
    let id = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (id(object), yaml::text_of(object))).collect()
}

/// Returns the objects that kubectl renders for a folder.
pub(crate) fn rendered_by(kubectl: &str, folder: &Path) -> Vec<Value> {
    let ran = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let documents = yaml::documents(&String::from_utf8(ran.stdout).unwrap()).unwrap();
    documents.iter().map(|document| in_one_line(document.to_json().unwrap())).collect()
}

/// Kustomize breaks long secrets into lines.
fn in_one_line(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        for value in object["data"].as_object_mut().unwrap().values_mut() {
            *value = value.as_str().unwrap().replace('\n', "").into();
        }
    }
    object
}

/// Finds a kubectl with a Kustomize that knows components: 1.27 or later.
pub(crate) fn kubectl() -> Option<String> {
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
