//! A JSON number: native where that is exact, its literal otherwise.

use jsonschema::json::JsonNumber;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug)]
pub enum Number<'a> {
    Int(i64),
    Float(f64),
    Text(&'a str),
}

impl Number<'_> {
    pub fn to_json(self) -> Value {
        Value::Number(self.to_number().into_owned())
    }
}

impl JsonNumber for Number<'_> {
    #[inline]
    fn as_u64(&self) -> Option<u64> {
        match self {
            Number::Int(int) => u64::try_from(*int).ok(),
            Number::Float(_) => None,
            Number::Text(text) => text.parse().ok(),
        }
    }

    #[inline]
    fn as_i64(&self) -> Option<i64> {
        match self {
            Number::Int(int) => Some(*int),
            Number::Float(_) => None,
            Number::Text(text) => text.parse().ok(),
        }
    }

    #[inline]
    fn as_f64(&self) -> Option<f64> {
        match self {
            Number::Int(int) => Some(*int as f64),
            Number::Float(float) => Some(*float),
            Number::Text(text) => text.parse().ok().filter(|float: &f64| float.is_finite()),
        }
    }

    fn as_str(&self) -> Cow<'_, str> {
        match self {
            Number::Int(int) => Cow::Owned(int.to_string()),
            // The shortest decimal that reads back as this float, as an encoder would write it.
            Number::Float(_) => Cow::Owned(self.to_number().to_string()),
            Number::Text(text) => Cow::Borrowed(text),
        }
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(match self {
            Number::Int(int) => (*int).into(),
            Number::Float(float) => {
                serde_json::Number::from_f64(*float).unwrap_or_else(|| 0.into())
            }
            Number::Text(text) => text.parse().unwrap_or_else(|_| 0.into()),
        })
    }

    #[inline]
    fn is_integer(&self) -> bool {
        match self {
            Number::Int(_) => true,
            Number::Float(float) => float.fract() == 0.0,
            Number::Text(_) => JsonNumber::is_integer(&*self.to_number()),
        }
    }

    #[inline]
    fn is_written_as_integer(&self) -> bool {
        match self {
            Number::Int(_) => true,
            Number::Float(_) => false,
            Number::Text(text) => !text.contains(['.', 'e', 'E']),
        }
    }
}
