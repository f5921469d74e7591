//! Tells the simulated market what to be.

use ::store::{StoreError, Tx};
use contracts::api::market_sim::{ChangeMarketSim, MarketSim};

use crate::{
    domain::{self, InvalidSettings},
    queries::show_market_sim::show_market_sim,
    store::{self, State},
};

/// Changes what the simulated market is. A seed that is given, even the same again, begins its draws anew.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then. What a simulated market can't be is an answer.
pub(crate) fn change_settings(
    tx: &mut Tx<'_>,
    change: &ChangeMarketSim,
) -> Result<Result<MarketSim, InvalidSettings>, StoreError> {
    let state = store::lock_state(tx)?;
    let settings = match domain::change(&state.settings, change) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(Err(invalid)),
    };
    store::save_settings(tx, &settings, &state.preset, change.seed.is_some())?;
    show_market_sim(tx).map(Ok)
}

/// Makes the simulated market what it begins as: the defaults, and the preset that it took over last. Its draws begin anew,
/// its sales stay.
///
/// # Errors
/// As [`change_settings`].
pub(crate) fn reset_settings(
    tx: &mut Tx<'_>,
) -> Result<Result<MarketSim, InvalidSettings>, StoreError> {
    let state = store::lock_state(tx)?;
    let settings = match domain::change(&domain::default_settings(), &state.preset) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(Err(invalid)),
    };
    store::save_settings(tx, &settings, &state.preset, true)?;
    show_market_sim(tx).map(Ok)
}

/// Makes the simulated market what the preset says, unless it took over the same preset before.
///
/// # Errors
/// As [`change_settings`].
pub(crate) fn take_over_preset(
    tx: &mut Tx<'_>,
    preset: &ChangeMarketSim,
) -> Result<Result<(), InvalidSettings>, StoreError> {
    let first = domain::change(&domain::default_settings(), preset)
        .map(|settings| State::new(settings, preset.clone()));
    match first {
        Ok(first) if store::insert_first(tx, &first)? => return Ok(Ok(())),
        Err(invalid) if !store::has_state(tx)? => return Ok(Err(invalid)),
        _ => {}
    }
    let state = store::lock_state(tx)?;
    if state.preset == *preset {
        return Ok(Ok(()));
    }
    let changed = domain::change(&state.settings, preset);
    changed.map_or_else(
        |invalid| Ok(Err(invalid)),
        |settings| {
            let draw_anew = preset.seed != state.preset.seed;
            store::save_settings(tx, &settings, preset, draw_anew).map(Ok)
        },
    )
}
