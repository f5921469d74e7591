use std::{num::NonZeroU32, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::config::{DatabaseUrl, Durability};

fn resolved(args: SettingArgs, last: &Settings) -> Resolved {
    Stated::new(args, Origins::default(), Reset::Nothing, false).over(Some(last)).unwrap()
}

fn last() -> Settings {
    Settings {
        runtime: Runtime::Compose,
        port: Some(8000),
        stoves: NonZeroU32::MAX,
        cooking_time: Some(Duration::ZERO),
        market_url: Some("http://me:secret@market.example".into()),
        replicas: BTreeMap::from([("kitchen".into(), 3)]),
        ..Settings::default()
    }
}

#[test]
fn everything_stays_as_last_time_but_what_is_stated() {
    assert_eq!(resolved(SettingArgs::default(), &last()).settings, last());
    let args = SettingArgs { stoves: Some(NonZeroU32::MIN), ..SettingArgs::default() };
    assert_eq!(resolved(args, &last()).settings, Settings { stoves: NonZeroU32::MIN, ..last() });
}

#[test]
fn a_reset_forgets_all_or_what_it_names() {
    let over = |args, reset| {
        Stated::new(args, Origins::default(), reset, false).over(Some(&last())).unwrap().settings
    };
    assert_eq!(over(SettingArgs::default(), Reset::All), Settings::default());
    let args = SettingArgs { seed: Some(7), ..SettingArgs::default() };
    assert_eq!(over(args, Reset::All), Settings { seed: 7, ..Settings::default() });
    let named = Reset::Some(BTreeSet::from([Setting::MarketUrl, Setting::Replicas]));
    let expected = Settings { market_url: None, replicas: BTreeMap::new(), ..last() };
    assert_eq!(over(SettingArgs::default(), named), expected);
}

#[test]
fn what_is_of_one_runtime_does_not_follow_to_another() {
    let database_url: Option<DatabaseUrl> = Some("postgres://db".parse().unwrap());
    let embedded = Settings { database_url, seed: 3, ..Settings::default() };
    let args = SettingArgs { runtime: Some(Runtime::Compose), ..SettingArgs::default() };
    let expected = Settings { runtime: Runtime::Compose, seed: 3, ..Settings::default() };
    assert_eq!(resolved(args, &embedded).settings, expected);
}

#[test]
fn the_registry_of_last_time_is_that_of_its_cluster() {
    let cluster = |context: &str, push: Option<&str>| ClusterSettings {
        context: Some(context.into()),
        push: push.map(Into::into),
        ..ClusterSettings::default()
    };
    let on = |cluster| Settings { runtime: Runtime::Kubernetes, cluster, ..Settings::default() };
    let last = on(cluster("one", Some("registry.example")));
    let args =
        |context: &str| SettingArgs { context: Some(context.into()), ..SettingArgs::default() };
    assert_eq!(resolved(SettingArgs::default(), &last).settings, last);
    assert_eq!(resolved(args("one"), &last).settings, last);
    assert_eq!(resolved(args("two"), &last).settings, on(cluster("two", None)));
    let reset = Stated::new(
        SettingArgs { runtime: Some(Runtime::Kubernetes), ..SettingArgs::default() },
        Origins::default(),
        Reset::All,
        false,
    );
    assert_eq!(
        reset.over(Some(&last)).unwrap().settings,
        on(cluster("one", None)),
        "its data are there"
    );
}

#[test]
fn containers_are_needed_whatever_ran_last_time() {
    let run = |last: Option<&Settings>| {
        Stated::new(SettingArgs::default(), Origins::default(), Reset::Nothing, true)
            .over(last)
            .unwrap()
            .settings
            .runtime
    };
    assert_eq!(run(None), Runtime::Compose);
    assert_eq!(run(Some(&Settings::default())), Runtime::Compose);
    let pods = Settings { runtime: Runtime::Kubernetes, ..Settings::default() };
    assert_eq!(run(Some(&pods)), Runtime::Kubernetes);
}

#[test]
fn the_help_states_the_defaults() {
    let tree = crate::commands::command_line();
    let up = tree.find_subcommand("up").unwrap();
    for setting in [Setting::Runtime, Setting::Durability, Setting::Stoves, Setting::Seed] {
        let arg = up.get_arguments().find(|arg| arg.get_id().as_str() == setting.id()).unwrap();
        let default = Settings::default().shown(setting).unwrap();
        let help = arg.get_help().unwrap().to_string();
        assert!(help.ends_with(&format!("[default: {default}]")), "{setting:?}: {help}");
    }
}

proptest! {
    #[test]
    fn a_value_is_that_of_the_highest_origin(
        stated: Option<u64>, last: Option<u64>, durable in any::<bool>(), resets in any::<bool>(),
    ) {
        let args = SettingArgs { seed: stated, ..SettingArgs::default() };
        let durability = if durable { Durability::Power } else { Durability::Process };
        let last = last.map(|seed| Settings { seed, durability, ..Settings::default() });
        let reset = if resets { Reset::Some([Setting::Seed].into()) } else { Reset::Nothing };
        let resolved = Stated::new(args, Origins::default(), reset, false).over(last.as_ref()).unwrap();
        let kept = last.as_ref().map(|last| last.seed).filter(|_| !resets);
        prop_assert_eq!(resolved.settings.seed, stated.or(kept).unwrap_or_default());
        let kept = last.map(|last| last.durability).unwrap_or(Durability::Process);
        prop_assert_eq!(resolved.settings.durability, kept);
    }
}
