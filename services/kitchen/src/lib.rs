//! Picks the recipe, asks for ingredients, cooks.
