//! What the inventory sees of the market, whatever the farmers do.
