//! Takes orders and knows where each one is.
