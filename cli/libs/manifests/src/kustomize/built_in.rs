//! The manifests that this program was built with, for use without a checkout.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../../manifests/kubernetes/", $path)))),*]
    };
}

/// Every file, by its path below `manifests/kubernetes`.
pub(super) const BUILT_IN: &[(&str, &str)] = &files![
    "base/board.yaml",
    "base/gateway.yaml",
    "base/inventory.yaml",
    "base/kitchen.yaml",
    "base/kustomization.yaml",
    "base/market.yaml",
    "base/namespace.yaml",
    "base/network-policies.yaml",
    "base/orders.yaml",
    "base/roles.yaml",
    "components/databases/kustomization.yaml",
    "components/databases/network-policies.yaml",
    "components/databases/postgres.yaml",
    "components/databases/redis.yaml",
    "components/external-databases/kustomization.yaml",
    "components/external-databases/network-policies.yaml",
    "components/farmers-market/kustomization.yaml",
    "components/farmers-market/network-policies.yaml",
    "components/ingress/ingress.yaml",
    "components/ingress/kustomization.yaml",
    "components/market-sim/kustomization.yaml",
    "components/market-sim/network-policies.yaml",
    "components/market-sim/market-sim.yaml",
    "components/scaling/autoscalers.yaml",
    "components/scaling/disruption-budgets.yaml",
    "components/scaling/kustomization.yaml",
    "overlays/local/kustomization.yaml",
    "overlays/production/kustomization.yaml",
    "overlays/staging/kustomization.yaml",
];

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_file_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../manifests/kubernetes");
        let relative =
            |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let found: BTreeSet<String> =
            files(&root).iter().map(relative).filter(|path| path.ends_with(".yaml")).collect();
        assert_eq!(found, BUILT_IN.iter().map(|(path, _)| (*path).to_owned()).collect());
    }
}
