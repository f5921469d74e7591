//! The kitchen has another menu.

use ::store::{StoreError, Tx};
use contracts::events::MenuChanged;

use crate::store;

/// Takes over the newest of these menus, unless a newer one is known.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn change_menu(tx: &mut Tx, menus: &[MenuChanged]) -> Result<(), StoreError> {
    let Some(newest) = menus.iter().max_by_key(|menu| menu.version) else { return Ok(()) };
    if store::raise_menu_version(tx, newest.version)? {
        store::replace_menu(tx, &newest.dishes)?;
    }
    Ok(())
}
