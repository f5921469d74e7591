//! Stock, reservations, purchases.
