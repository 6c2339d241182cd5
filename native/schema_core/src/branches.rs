//! How much a schema can make of one value, measured before it is compiled.
//!
//! Subschemas that apply to the same value (`allOf`, `$ref` and the like) multiply: twenty
//! definitions that each refer twice to the next make a million paths. Along such a path the
//! validator may never look at the instance, so that no [`Guard`](crate::guard::Guard) stops it,
//! and `unevaluatedProperties` compiles every path. References that form a cycle need no care
//! here: the validator looks at the instance each time it goes round.

use jsonschema::Draft;
use referencing::{Registry, Resolver};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Paths from one subschema through others that apply to the same value.
pub const MAX_PATHS: u64 = 4_096;

/// The same summed over the subschemas with `unevaluatedProperties` or `unevaluatedItems`.
pub const MAX_UNEVALUATED: u64 = 2_048;

/// Subschemas on one such path; each takes stack.
pub const MAX_LENGTH: u64 = 1_024;

/// Ways from the root through resources (what has an `$id`, and documents), each entered once.
/// A subschema is compiled anew for each way that leads to it, since `$dynamicRef` may differ.
pub const MAX_SCOPES: u64 = 4_096;

/// Same value: one subschema, a list, a map.
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Another value: one subschema or a list, a map.
const ELSEWHERE: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const ELSEWHERE_MAPS: [&str; 2] = ["properties", "patternProperties"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Branches {
    /// The largest number of paths from one subschema, itself included.
    pub paths: u64,
    /// The longest of them.
    pub length: u64,
    pub unevaluated: u64,
    pub scopes: u64,
}

struct Subschema<'a> {
    value: &'a Value,
    /// The resource it is in.
    resource: usize,
    in_place: Vec<usize>,
    paths: u64,
    length: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    subschemas: Vec<Subschema<'a>>,
    /// By address: the documents do not move while they are measured.
    known: HashMap<*const Value, usize>,
    pending: Vec<(usize, Resolver<'a>, Draft)>,
    /// Every subschema that a `$dynamicRef` to this name might mean.
    dynamic: HashMap<&'a str, Vec<usize>>,
    dynamic_references: Vec<(usize, &'a str)>,
    resources: HashMap<String, usize>,
    /// By resource: those that it refers to or embeds.
    leads_to: Vec<BTreeSet<usize>>,
}

/// Measures the schema that `root` is, following the references that `resolver` resolves. Those
/// that it does not are errors found when the schema is compiled.
pub fn measure<'a>(
    registry: &'a Registry<'a>,
    base: &str,
    root: &'a Value,
    draft: Draft,
) -> Branches {
    let Ok(base) = jsonschema::uri::from_str(base) else {
        return Branches::default();
    };
    let mut walk = Walk {
        subschemas: Vec::new(),
        known: HashMap::new(),
        pending: Vec::new(),
        dynamic: HashMap::new(),
        dynamic_references: Vec::new(),
        resources: HashMap::new(),
        leads_to: Vec::new(),
    };
    walk.visit(root, registry.resolver(base), draft);
    while let Some((index, resolver, draft)) = walk.pending.pop() {
        walk.expand(index, resolver, draft);
    }
    for (from, name) in std::mem::take(&mut walk.dynamic_references) {
        let targets = walk.dynamic.get(name).cloned().unwrap_or_default();
        for target in targets {
            walk.link(from, target);
            walk.subschemas[from].in_place.push(target);
        }
    }
    let mut branches = walk.count();
    branches.scopes = walk.count_scopes();
    branches
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: &'a Value, resolver: Resolver<'a>, draft: Draft) -> Option<usize> {
        let fields = value.as_object()?;
        let address = std::ptr::from_ref(value);
        if let Some(index) = self.known.get(&address) {
            return Some(*index);
        }
        let draft = draft.detect(value);
        let resolver = resolver
            .in_subresource(draft.create_resource_ref(value))
            .unwrap_or(resolver);
        let resource = self.resource(resolver.base_uri().as_str());
        let index = self.subschemas.len();
        self.known.insert(address, index);
        self.subschemas.push(Subschema {
            value,
            resource,
            in_place: Vec::new(),
            paths: 0,
            length: 0,
            state: State::New,
        });
        if let Some(name) = fields.get("$dynamicAnchor").and_then(Value::as_str) {
            self.dynamic.entry(name).or_default().push(index);
        }
        if fields.get("$recursiveAnchor").is_some() {
            self.dynamic.entry("").or_default().push(index);
        }
        self.pending.push((index, resolver, draft));
        Some(index)
    }

    fn resource(&mut self, uri: &str) -> usize {
        if let Some(resource) = self.resources.get(uri) {
            return *resource;
        }
        let resource = self.leads_to.len();
        self.resources.insert(uri.to_owned(), resource);
        self.leads_to.push(BTreeSet::new());
        resource
    }

    fn link(&mut self, from: usize, to: usize) {
        let (from, to) = (self.subschemas[from].resource, self.subschemas[to].resource);
        if from != to {
            self.leads_to[from].insert(to);
        }
    }

    /// Up to one more than [`MAX_SCOPES`].
    fn count_scopes(&self) -> u64 {
        let Some(root) = self.subschemas.first() else {
            return 1;
        };
        let mut ways = 1;
        let mut entered = vec![false; self.leads_to.len()];
        entered[root.resource] = true;
        let mut stack = vec![(root.resource, self.leads_to[root.resource].iter())];
        while let Some((resource, next)) = stack.last_mut() {
            match next.find(|next| !entered[**next]) {
                Some(next) => {
                    ways += 1;
                    if ways > MAX_SCOPES {
                        break;
                    }
                    entered[*next] = true;
                    stack.push((*next, self.leads_to[*next].iter()));
                }
                None => {
                    entered[*resource] = false;
                    stack.pop();
                }
            }
        }
        ways
    }

    fn expand(&mut self, index: usize, resolver: Resolver<'a>, draft: Draft) {
        let value = self.subschemas[index].value;
        let mut in_place = Vec::new();
        let mut reach = |walk: &mut Self, child: &'a Value| {
            if let Some(child) = walk.visit(child, resolver.clone(), draft) {
                walk.link(index, child);
                in_place.push(child);
            }
        };
        for keyword in IN_PLACE {
            if let Some(child) = value.get(keyword) {
                reach(self, child);
            }
        }
        for keyword in IN_PLACE_LISTS {
            for child in value
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                reach(self, child);
            }
        }
        for keyword in IN_PLACE_MAPS {
            let children = value.get(keyword).and_then(Value::as_object);
            for child in children.into_iter().flat_map(|children| children.values()) {
                reach(self, child);
            }
        }
        for keyword in REFERENCES {
            let Some(reference) = value.get(keyword).and_then(Value::as_str) else {
                continue;
            };
            if let Ok(resolved) = resolver.lookup(reference) {
                let (contents, resolver, draft) = resolved.into_inner();
                if let Some(target) = self.visit(contents, resolver, draft) {
                    self.link(index, target);
                    in_place.push(target);
                }
            }
            if keyword != "$ref" {
                let name = reference.rsplit('#').next().unwrap_or_default();
                self.dynamic_references.push((index, name));
            }
        }
        self.subschemas[index].in_place = in_place;
        let elsewhere = |walk: &mut Self, child: &'a Value| {
            if let Some(child) = walk.visit(child, resolver.clone(), draft) {
                walk.link(index, child);
            }
        };
        for keyword in ELSEWHERE {
            match value.get(keyword) {
                Some(Value::Array(children)) => {
                    for child in children {
                        elsewhere(self, child);
                    }
                }
                Some(child) => elsewhere(self, child),
                None => {}
            }
        }
        for keyword in ELSEWHERE_MAPS {
            let children = value.get(keyword).and_then(Value::as_object);
            for child in children.into_iter().flat_map(|children| children.values()) {
                elsewhere(self, child);
            }
        }
    }

    /// Depth first, children before parents; an edge back to a subschema that is still open
    /// closes a cycle and counts nothing.
    fn count(&mut self) -> Branches {
        let mut total = Branches::default();
        let mut stack = Vec::new();
        for start in 0..self.subschemas.len() {
            stack.push(start);
            while let Some(&index) = stack.last() {
                match self.subschemas[index].state {
                    State::New => {
                        self.subschemas[index].state = State::Open;
                        let subschemas = &self.subschemas;
                        stack.extend(
                            subschemas[index]
                                .in_place
                                .iter()
                                .filter(|child| subschemas[**child].state == State::New),
                        );
                    }
                    State::Open => {
                        stack.pop();
                        self.finish(index, &mut total);
                    }
                    State::Done => {
                        stack.pop();
                    }
                }
            }
        }
        total
    }

    fn finish(&mut self, index: usize, total: &mut Branches) {
        let (mut paths, mut length) = (1u64, 0);
        for child in &self.subschemas[index].in_place {
            let child = &self.subschemas[*child];
            if child.state == State::Done {
                paths = paths.saturating_add(child.paths);
                length = length.max(child.length);
            }
        }
        let subschema = &mut self.subschemas[index];
        subschema.state = State::Done;
        subschema.paths = paths;
        subschema.length = length + 1;
        total.paths = total.paths.max(paths);
        total.length = total.length.max(length + 1);
        let value = subschema.value;
        if value.get("unevaluatedProperties").is_some() || value.get("unevaluatedItems").is_some() {
            total.unevaluated = total.unevaluated.saturating_add(paths);
        }
    }
}
