//! The one public door: routes, keys and permissions, limits, stories, audit.
