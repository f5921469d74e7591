//! The live view: aggregates over every event.
