//! The document as it is served, with an independent judge of what conforms to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::Server;
use crate::http::Response;

/// The document.
pub(super) struct Document {
    pub(super) whole: Value,
    /// Those that were made already: making one takes longer than asking it.
    judges: RefCell<HashMap<String, Rc<Validator>>>,
}

/// One thing that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) told: Value,
}

/// What a value has to be like.
pub(super) struct Schema {
    pub(super) told: Value,
    judge: Rc<Validator>,
}

impl Schema {
    pub(super) fn holds(&self, value: &Value) -> bool {
        self.judge.is_valid(value)
    }

    pub(super) fn check(&self, value: &Value) {
        let wrong: Vec<String> = self.judge.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{value} does not conform: {wrong:?}");
    }
}

impl Document {
    /// What a server says of itself, to somebody without a token.
    pub(super) fn of(server: &Server) -> Self {
        let text = server.client("anna").with("").get("/v1/openapi.json").text();
        let whole = serde_json::from_str(&text).unwrap();
        let document = Document { whole, judges: RefCell::default() };
        assert!(document.whole["openapi"].as_str().unwrap().starts_with("3.1."));
        document
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        let paths = self.whole["paths"].as_object().unwrap();
        let of = |path: &String, methods: &Value| {
            let all = methods.as_object().unwrap().iter();
            let operation = |(method, told): (&String, &Value)| Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                told: told.clone(),
            };
            all.map(operation).collect::<Vec<_>>()
        };
        paths.iter().flat_map(|(path, methods)| of(path, methods)).collect()
    }

    pub(super) fn schemas(&self) -> Vec<String> {
        self.whole["components"]["schemas"].as_object().unwrap().keys().cloned().collect()
    }

    /// The schema of a name.
    pub(super) fn schema(&self, name: &str) -> Schema {
        self.judge(&json!({"$ref": format!("#/components/schemas/{name}")}))
    }

    /// A schema that stands somewhere in the document.
    pub(super) fn judge(&self, told: &Value) -> Schema {
        let mut judges = self.judges.borrow_mut();
        let judge = judges.entry(told.to_string()).or_insert_with(|| {
            let all = json!({"allOf": [told], "components": self.whole["components"]});
            Rc::new(jsonschema::options().with_draft(Draft::Draft202012).build(&all).unwrap())
        });
        Schema { told: told.clone(), judge: Rc::clone(judge) }
    }

    /// What a reference stands for.
    pub(super) fn resolved<'d>(&'d self, told: &'d Value) -> &'d Value {
        match told.get("$ref").and_then(Value::as_str) {
            Some(place) => self.whole.pointer(place.strip_prefix('#').unwrap()).unwrap(),
            None => told,
        }
    }

    /// Holds a response against what an operation may be answered with.
    pub(super) fn check(&self, operation: &Operation, response: &Response) {
        let status = response.status.to_string();
        let told = &operation.told["responses"][&status];
        let what = format!("{} {}", operation.method, operation.path);
        assert!(!told.is_null(), "{what} is answered with {status}: {}", response.text());
        self.check_against(told, response, &what);
    }

    /// Holds a response against one that is told of by name.
    pub(super) fn check_named(&self, name: &str, response: &Response) {
        let told = &self.whole["components"]["responses"][name];
        let title = self.whole["components"]["schemas"][name]["properties"]["status"]["enum"][0].as_u64();
        assert_eq!(Some(u64::from(response.status)), title, "{name}: {}", response.text());
        self.check_against(told, response, name);
    }

    fn check_against(&self, told: &Value, response: &Response, what: &str) {
        let told = self.resolved(told);
        for (name, header) in told["headers"].as_object().into_iter().flatten() {
            let held = response.header(&name.to_lowercase());
            let held = held.unwrap_or_else(|| panic!("{what}: {name} is missing from {response:?}"));
            let value = held.parse::<u64>().map_or_else(|_| json!(held), |number| json!(number));
            self.judge(&header["schema"]).check(&value);
        }
        let Some(contents) = told["content"].as_object() else {
            assert!(
                response.body.is_empty() && response.header("content-type").is_none(),
                "{what}: {response:?}"
            );
            return;
        };
        let kind = response.header("content-type").unwrap_or("none");
        let content = contents.get(kind).unwrap_or_else(|| panic!("{what} is answered as {kind}"));
        let value = if kind.ends_with("json") {
            serde_json::from_str(&response.text()).unwrap()
        } else {
            json!(response.text())
        };
        self.judge(&content["schema"]).check(&value);
    }
}
