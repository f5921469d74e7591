use ::store::{StoreError, Tx};

use crate::{domain::stoves::Installation, store};

/// Makes the stoves those from 1 to `wanted`. One that is too many goes once nothing is on it.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn install_stoves(tx: &mut Tx<'_>, wanted: u32) -> Result<(), StoreError> {
    store::lock_rail(tx)?;
    let stoves = store::stoves(tx)?;
    store::install(tx, &Installation::plan(&stoves, wanted))
}
