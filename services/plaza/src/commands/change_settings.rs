//! Tells the plaza what to be.

use chassis::database::{StoreError, Tx};
use contracts::api::plaza::{ChangePlaza, Plaza};

use crate::{
    domain::{self, InvalidSettings},
    queries::show_plaza::show_plaza,
    store::{self, State},
};

/// Changes what the plaza is. A seed that is given, even the same again, begins its draws anew.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then. What a plaza can't be is an answer.
pub(crate) fn change_settings(
    tx: &mut Tx<'_>,
    change: &ChangePlaza,
) -> Result<Result<Plaza, InvalidSettings>, StoreError> {
    let state = store::state(tx)?;
    let settings = match domain::change(&state.settings, change) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(Err(invalid)),
    };
    store::save_settings(tx, &settings, &state.preset, change.seed.is_some())?;
    show_plaza(tx).map(Ok)
}

/// Makes the plaza what the preset says, unless it took over the same preset before.
///
/// # Errors
/// As [`change_settings`].
pub(crate) fn take_over_preset(
    tx: &mut Tx<'_>,
    preset: &ChangePlaza,
) -> Result<Result<(), InvalidSettings>, StoreError> {
    let before = store::find_state(tx)?;
    let settings =
        before.as_ref().map_or(domain::default_settings(), |state| state.settings.clone());
    let settings = match domain::change(&settings, preset) {
        Ok(settings) => settings,
        Err(invalid) => return Ok(Err(invalid)),
    };
    match before {
        None => store::insert_state(tx, &State::new(settings, preset.clone()))?,
        Some(state) if state.preset != *preset => {
            store::save_settings(tx, &settings, preset, preset.seed != state.preset.seed)?;
        }
        Some(_) => {}
    }
    Ok(Ok(()))
}
