//! What crosses between a service and its database: TEXT, BIGINT and NULL, nothing else.

use std::{fmt::Display, str::FromStr};

use contracts::{Id, Timestamp};
use uuid::Uuid;

/// A value on its way into the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// TEXT.
    Text(String),
    /// BIGINT.
    Integer(i64),
    /// NULL, of either type.
    Null,
}

/// A value on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// TEXT.
    Text(&'a str),
    /// BIGINT.
    Integer(i64),
    /// NULL.
    Null,
}

/// What can be a parameter of a statement.
pub trait ToValue {
    /// Returns it as the database takes it.
    fn to_value(&self) -> Value;
}

/// What can be read from a column.
pub trait FromValue: Sized {
    /// Reads it; `None` if the column holds something else.
    fn from_value(value: ValueRef<'_>) -> Option<Self>;
}

/// Makes the parameters of a statement: `params![order.id, order.status]` is an array of [`Value`]s.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::ToValue::to_value(&$value)),*]
    };
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl FromValue for Value {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        Some(match value {
            ValueRef::Text(text) => Self::Text(text.to_owned()),
            ValueRef::Integer(integer) => Self::Integer(integer),
            ValueRef::Null => Self::Null,
        })
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl FromValue for String {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value {
        Value::Integer(*self)
    }
}

impl FromValue for i64 {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(integer) => Some(integer),
            _ => None,
        }
    }
}

/// Stored as 0 and 1.
impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Integer(i64::from(*self))
    }
}

impl FromValue for bool {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(0) => Some(false),
            ValueRef::Integer(1) => Some(true),
            _ => None,
        }
    }
}

/// Stored as microseconds.
impl ToValue for Timestamp {
    fn to_value(&self) -> Value {
        Value::Integer(self.as_micros())
    }
}

impl FromValue for Timestamp {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        i64::from_value(value).map(Self::from_micros)
    }
}

impl ToValue for Uuid {
    fn to_value(&self) -> Value {
        let mut text = String::with_capacity(36);
        text.push_str(self.hyphenated().encode_lower(&mut Self::encode_buffer()));
        Value::Text(text)
    }
}

impl FromValue for Uuid {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(text) => Self::try_parse(text).ok(),
            _ => None,
        }
    }
}

impl<K> ToValue for Id<K> {
    fn to_value(&self) -> Value {
        self.uuid().to_value()
    }
}

impl<K> FromValue for Id<K> {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        Uuid::from_value(value).map(Self::from)
    }
}

/// A value that is stored as the text of its [`Display`] and read by its [`FromStr`]: an enum by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByName<T>(pub T);

impl<T: Display> ToValue for ByName<T> {
    fn to_value(&self) -> Value {
        Value::Text(self.0.to_string())
    }
}

impl<T: FromStr> FromValue for ByName<T> {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(name) => name.parse().ok().map(Self),
            _ => None,
        }
    }
}
