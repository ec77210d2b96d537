//! Values that conform to a schema, drawn by a seed: most are plain, many collide, some are at a bound.

use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use super::document::{Document, Schema};

/// Draws the same each time.
pub(super) fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The next of what a strategy draws.
pub(super) fn drawn<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    use proptest::strategy::ValueTree;
    strategy.new_tree(runner).unwrap().current()
}

/// Values of which some are to be drawn again and again, by the name of their schema.
pub(super) type Pool = Vec<(&'static str, Vec<Value>)>;

/// Values that the judge lets pass.
pub(super) fn conforming(document: &Document, schema: &Schema, pool: &Pool) -> BoxedStrategy<Value> {
    let judge = document.judge(&schema.told);
    any(document, &schema.told, pool)
        .prop_filter("a keyword that is not drawn by", move |value| judge.holds(value))
        .boxed()
}

fn any(document: &Document, told: &Value, pool: &Pool) -> BoxedStrategy<Value> {
    if let Some(place) = told.get("$ref").and_then(Value::as_str) {
        let drawn = any(document, document.resolved(told), pool);
        let name = place.rsplit('/').next().unwrap();
        return match pool.iter().find(|(known, _)| *known == name) {
            Some((_, known)) => prop_oneof![4 => prop::sample::select(known.clone()), 1 => drawn].boxed(),
            None => drawn,
        };
    }
    if let Some(values) = told["enum"].as_array() {
        return prop::sample::select(values.clone()).boxed();
    }
    if let Some(each) = told["oneOf"].as_array() {
        let each: Vec<_> = each.iter().map(|told| any(document, told, pool)).collect();
        return prop::strategy::Union::new(each).boxed();
    }
    match told["type"].as_str().unwrap_or("none") {
        "null" => Just(Value::Null).boxed(),
        "boolean" => prop::bool::ANY.prop_map(Value::from).boxed(),
        "integer" => {
            let (least, most) = (told["minimum"].as_u64().unwrap(), told["maximum"].as_u64().unwrap());
            prop_oneof![4 => least..=most.min(9), 1 => Just(most), 1 => least..=most]
                .prop_map(Value::from)
                .boxed()
        }
        "string" => match told["pattern"].as_str() {
            // Only whole matches are drawn.
            Some(pattern) => {
                string_regex(pattern.trim_matches(['^', '$'])).unwrap().prop_map(Value::from).boxed()
            }
            None => ".{0,8}".prop_map(Value::from).boxed(),
        },
        "array" => {
            let least = told["minItems"].as_u64().map_or(0, |least| usize::try_from(least).unwrap());
            prop::collection::vec(any(document, &told["items"], pool), least..4).prop_map(Value::from).boxed()
        }
        "object" => object(document, told, pool),
        other => panic!("{other} is not drawn: {told}"),
    }
}

fn object(document: &Document, told: &Value, pool: &Pool) -> BoxedStrategy<Value> {
    let required = |key: &String| told["required"].as_array().is_some_and(|all| all.contains(&json!(key)));
    let member = |(key, told): (&String, &Value)| {
        let (key, is_needed) = (key.clone(), required(key));
        let value = any(document, told, pool);
        (prop::bool::ANY, value)
            .prop_map(move |(is_there, value)| (is_there || is_needed).then(|| (key.clone(), value)))
            .boxed()
    };
    let members: Vec<_> = told["properties"].as_object().into_iter().flatten().map(member).collect();
    let known = members.prop_map(|members| members.into_iter().flatten().collect::<Map<_, _>>());
    let more = match &told["additionalProperties"] {
        Value::Object(of) => {
            let name = match &told["propertyNames"] {
                Value::Null => prop_oneof!["[a-c]", ".{0,8}"].boxed(),
                // What stands for a collection may be any of those that are drawn for one.
                names => {
                    prop_oneof![4 => "notes|tags", 1 => any(document, names, pool).prop_map(text)].boxed()
                }
            };
            prop::collection::vec((name, any(document, &Value::Object(of.clone()), pool)), 0..3).boxed()
        }
        Value::Bool(true) => {
            prop::collection::vec((prop_oneof!["[a-c]", "title", ".{0,8}"], json_value()), 0..4).boxed()
        }
        _ => Just(Vec::new()).boxed(),
    };
    let all = (known, more).prop_map(|(mut known, more)| {
        known.extend(more);
        Value::Object(known)
    });
    all.boxed()
}

fn text(value: Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Any JSON value that can be carried exactly.
fn json_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        prop::bool::ANY.prop_map(Value::from),
        prop::num::i64::ANY.prop_map(Value::from),
        prop::num::u64::ANY.prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
    .boxed()
}
