//! What a buyer and a developer see of the plaza.
