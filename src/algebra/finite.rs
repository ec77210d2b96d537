//! A serializer that only looks for numbers that JSON has no word for.
//!
//! `serde_json` writes a NaN or an infinity as null, and a null field is an absent field: a value would
//! vanish without a word. So typed values pass through here first. It writes nothing.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize};

use super::error::Error;

/// Refuses a value that holds a NaN or an infinity anywhere.
pub(crate) fn require_finite<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    match value.serialize(Finite) {
        Ok(()) => Ok(()),
        Err(Refusal::NotFinite(value)) => Err(Error::NotANumber { value: value.to_string() }),
        Err(Refusal::Custom(error)) => Err(Error::Json { source: error }),
    }
}

#[derive(Debug)]
enum Refusal {
    NotFinite(f64),
    Custom(serde_json::Error),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotFinite(value) => write!(f, "{value} is not a JSON number"),
            Refusal::Custom(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Refusal::Custom(<serde_json::Error as ser::Error>::custom(message))
    }
}

#[derive(Clone, Copy)]
struct Finite;

macro_rules! accepts {
    ($($method:ident($($kind:ty),*);)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<(), Refusal> { Ok(()) })*
    };
}

macro_rules! opens {
    ($($method:ident($($kind:ty),*);)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<Finite, Refusal> { Ok(Finite) })*
    };
}

impl ser::Serializer for Finite {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Finite;
    type SerializeTuple = Finite;
    type SerializeTupleStruct = Finite;
    type SerializeTupleVariant = Finite;
    type SerializeMap = Finite;
    type SerializeStruct = Finite;
    type SerializeStructVariant = Finite;

    accepts! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    opens! {
        serialize_seq(Option<usize>);
        serialize_tuple(usize);
        serialize_tuple_struct(&'static str, usize);
        serialize_tuple_variant(&'static str, u32, &'static str, usize);
        serialize_map(Option<usize>);
        serialize_struct(&'static str, usize);
        serialize_struct_variant(&'static str, u32, &'static str, usize);
    }

    fn serialize_f32(self, value: f32) -> Result<(), Refusal> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Refusal> {
        if value.is_finite() { Ok(()) } else { Err(Refusal::NotFinite(value)) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<(), Refusal> {
        Ok(())
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident;)*) => {
        $(impl ser::$trait for Finite {
            type Ok = ();
            type Error = Refusal;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                value.serialize(*self)
            }
            fn end(self) -> Result<(), Refusal> {
                Ok(())
            }
        })*
    };
}

macro_rules! named_fields {
    ($($trait:ident;)*) => {
        $(impl ser::$trait for Finite {
            type Ok = ();
            type Error = Refusal;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                value.serialize(*self)
            }
            fn end(self) -> Result<(), Refusal> {
                Ok(())
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

named_fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Finite {
    type Ok = ();
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::State;
    use std::collections::BTreeMap;

    #[derive(serde::Serialize)]
    struct Wrapped(f64);

    #[derive(serde::Serialize)]
    enum Nested {
        Wrapped(Wrapped),
        Named { of: Wrapped },
        Unit,
    }

    /// What is written as it is shown.
    struct Shown;

    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str("shown")
        }
    }

    /// What says of itself that it has no JSON.
    struct Unwilling;

    impl Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("not today"))
        }
    }

    #[test]
    fn what_is_no_number_is_taken_and_what_refuses_says_why() {
        let text = State::from_serialize(&BTreeMap::from([("a", (Shown, Nested::Unit, [b'x']))])).unwrap();
        assert_eq!(text.as_json(), r#"{"a":["shown","Unit",[120]]}"#);
        let error = State::from_serialize(&BTreeMap::from([("a", Unwilling)])).unwrap_err();
        assert!(matches!(&error, Error::Json { .. }) && error.to_string().contains("not today"), "{error}");
        assert_eq!(Refusal::NotFinite(f64::INFINITY).to_string(), "inf is not a JSON number");
        let custom: Refusal = ser::Error::custom("not today");
        assert_eq!(custom.to_string(), "not today");
    }

    #[test]
    fn a_nan_is_refused_wherever_it_hides() {
        let hidden: BTreeMap<&str, Vec<Option<(u8, f32)>>> =
            BTreeMap::from([("a", vec![None, Some((1, 1.5))]), ("b", vec![Some((2, f32::NAN))])]);
        assert!(matches!(State::from_serialize(&hidden), Err(Error::NotANumber { .. })));
        for hidden in [Nested::Wrapped(Wrapped(f64::INFINITY)), Nested::Named { of: Wrapped(f64::NAN) }] {
            let hidden = BTreeMap::from([("a", hidden)]);
            assert!(matches!(State::from_serialize(&hidden), Err(Error::NotANumber { .. })));
        }
        let plain = BTreeMap::from([("a", 0.1_f32)]);
        assert_eq!(State::from_serialize(&plain).unwrap().as_json(), r#"{"a":0.1}"#);
        let named = BTreeMap::from([("a", Nested::Named { of: Wrapped(0.5) })]);
        assert_eq!(State::from_serialize(&named).unwrap().as_json(), r#"{"a":{"Named":{"of":0.5}}}"#);
    }
}
