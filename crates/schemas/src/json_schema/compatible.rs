//! Does an updated JSON Schema accept everything the original accepted? (The rules of Confluent's registry.)
//!
//! Two ideas carry most of it. A schema's *content model* says which fields it takes besides those it names: open (any,
//! the default), closed (`additionalProperties: false`) or partially open (a schema for them, or `patternProperties`).
//! To an open model no field can be added, because older data may hold anything under that name; from a closed model
//! none can be removed, because the update would refuse it.
//!
//! Messages have the form of Confluent's verbose answers: `{errorType:"…", description:"…"}`.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::{Node, Schema};

/// Everything in `update` that refuses what `original` took; empty if nothing does. `labels` are what messages call
/// the two: `["old", "new"]`.
pub fn narrowings(original: &Schema, update: &Schema, labels: [&str; 2]) -> Vec<String> {
    let mut diff = Diff { path: vec!["#".into()], found: Vec::new(), open: HashSet::new(), steps_left: STEPS_MAX };
    diff.nodes(original.node(), update.node());
    diff.found.iter().take(FAULTS_MAX).map(|fault| fault.text(labels)).collect()
}

const FAULTS_MAX: usize = 100;
/// What a message shows of a path, from its end.
const PATH_BYTES_MAX: usize = 2000;
const STEPS_MAX: usize = 200_000;
const DEPTH_MAX: usize = 128;

struct Diff {
    path: Vec<String>,
    found: Vec<Fault>,
    /// Pairs being compared, by address: recursive schemas come back to themselves.
    open: HashSet<(usize, usize)>,
    steps_left: usize,
}

struct Fault {
    rule: &'static str,
    path: String,
}

impl Fault {
    fn text(&self, [original, update]: [&str; 2]) -> String {
        let path = &self.path;
        let what = match self.rule {
            "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" | "ITEM_ADDED_TO_OPEN_CONTENT_MODEL" => format!(
                "The {original} schema has an open content model and takes anything at path '{path}', where the {update} schema takes only one kind of value"
            ),
            "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" | "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL" => format!(
                "The {update} schema has a closed content model and lacks the property or item at path '{path}', which the {original} schema takes"
            ),
            "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
            | "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" => format!(
                "The {original} schema has a partially open content model whose values at path '{path}' the {update} schema does not take"
            ),
            "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
            | "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" => format!(
                "The {update} schema has a partially open content model that does not take the values of the {original} schema at path '{path}'"
            ),
            "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" => format!(
                "The {update} schema requires the property at path '{path}', which the {original} schema does not know"
            ),
            "REQUIRED_ATTRIBUTE_ADDED" => format!(
                "The {update} schema requires the property at path '{path}' without a default, which the {original} schema does not require"
            ),
            "TYPE_CHANGED" | "TYPE_NARROWED" => format!(
                "The type at path '{path}' in the {update} schema does not take all values of the {original} schema"
            ),
            "TOO_COMPLEX" => format!("The schemas are too deeply nested to compare (path '{path}')"),
            rule if rule.ends_with("_ADDED") || rule.ends_with("_REMOVED") => format!(
                "The constraint at path '{path}' differs: the {update} schema takes less than the {original} schema"
            ),
            _ => format!("The {update} schema takes less at path '{path}' than the {original} schema"),
        };
        format!("{{errorType:\"{}\", description:\"{what}\"}}", self.rule)
    }
}

/// What may stand beside the fields an object names.
enum Content<'a> {
    Open,
    Closed,
    /// Only such values.
    Partial(&'a Value),
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// `true`, `{}` and schemas of nothing but annotations take everything.
fn takes_everything(value: &Value) -> bool {
    const ANNOTATIONS: [&str; 10] =
        ["$schema", "$id", "id", "title", "description", "default", "examples", "$comment", "definitions", "$defs"];
    match value {
        Value::Bool(takes) => *takes,
        Value::Object(object) => object.keys().all(|key| ANNOTATIONS.contains(&key.as_str())),
        _ => false,
    }
}

impl Diff {
    /// Keeps no more than will be shown: a schema with long names has more faults than memory.
    fn report(&mut self, rule: &'static str) {
        if self.found.len() < FAULTS_MAX {
            let mut path = self.path.join("/");
            if path.len() > PATH_BYTES_MAX {
                path.replace_range(..path.ceil_char_boundary(path.len() - PATH_BYTES_MAX), "…");
            }
            self.found.push(Fault { rule, path });
        }
    }

    fn report_at(&mut self, step: &str, rule: &'static str) {
        self.path.push(step.to_owned());
        self.report(rule);
        self.path.pop();
    }

    fn within(&mut self, steps: &[&str], body: impl FnOnce(&mut Self)) {
        let depth = self.path.len();
        self.path.extend(steps.iter().map(|&step| step.to_owned()));
        body(self);
        self.path.truncate(depth);
    }

    /// What a comparison finds, without keeping it.
    fn attempt(&mut self, original: Node<'_>, update: Node<'_>) -> Vec<Fault> {
        let before = std::mem::take(&mut self.found);
        self.nodes(original, update);
        std::mem::replace(&mut self.found, before)
    }

    fn nodes(&mut self, original: Node<'_>, update: Node<'_>) {
        let (original, update) = (original.resolved(), update.resolved());
        if takes_everything(update.value) || original.value == &Value::Bool(false) {
            return;
        }
        let Some(left) = self.steps_left.checked_sub(1).filter(|_| self.path.len() < DEPTH_MAX) else {
            return self.report("TOO_COMPLEX");
        };
        self.steps_left = left;
        let pair = (std::ptr::from_ref(original.value) as usize, std::ptr::from_ref(update.value) as usize);
        if !self.open.insert(pair) {
            return;
        }
        if update.value == &Value::Bool(false) || takes_everything(original.value) {
            self.report("TYPE_CHANGED");
        } else if !self.combined(original, update) {
            self.plain(original, update);
        }
        self.open.remove(&pair);
    }

    /// Everything but `allOf`, `anyOf`, `oneOf`.
    fn plain(&mut self, original: Node<'_>, update: Node<'_>) {
        if !self.types(original, update) {
            return;
        }
        self.choices(original, update);
        self.bounds(original, update);
        let types = types(original.value);
        if types.contains("object") {
            self.objects(original, update);
        }
        if types.contains("array") {
            self.arrays(original, update);
        }
        match (original.get("not"), update.get("not")) {
            (_, None) => {}
            (None, Some(_)) => self.report_at("not", "NOT_TYPE_ADDED"),
            (Some(before), Some(after)) => {
                // Forbidding less takes more.
                if !self.attempt(update.at(after), original.at(before)).is_empty() {
                    self.report_at("not", "NOT_TYPE_EXTENDED");
                }
            }
        }
    }

    /// Whether the types leave anything further to compare.
    fn types(&mut self, original: Node<'_>, update: Node<'_>) -> bool {
        let (before, after) = (types(original.value), types(update.value));
        let taken = |name: &&&str| after.contains(**name) || (**name == "integer" && after.contains("number"));
        match before.iter().filter(taken).count() {
            0 => self.report("TYPE_CHANGED"),
            n if n < before.len() => self.report("TYPE_NARROWED"),
            _ => return true,
        }
        false
    }

    fn choices(&mut self, original: Node<'_>, update: Node<'_>) {
        let choices = |node: Node<'_>| -> Option<Vec<Value>> {
            let single = node.get("const").map(|value| vec![value.clone()]);
            single.or_else(|| node.get("enum").and_then(Value::as_array).cloned())
        };
        match (choices(original), choices(update)) {
            (_, None) => {}
            (None, Some(_)) => self.report_at("enum", "ENUM_ARRAY_ADDED"),
            (Some(before), Some(after)) => {
                let kept = before.iter().filter(|value| after.contains(value)).count();
                if kept < before.len() {
                    let only_fewer = after.iter().all(|value| before.contains(value));
                    self.report_at("enum", if only_fewer { "ENUM_ARRAY_NARROWED" } else { "ENUM_ARRAY_CHANGED" });
                }
            }
        }
    }

    fn bounds(&mut self, original: Node<'_>, update: Node<'_>) {
        const UPPER: [(&str, &str, &str); 5] = [
            ("maximum", "MAXIMUM_ADDED", "MAXIMUM_DECREASED"),
            ("exclusiveMaximum", "EXCLUSIVE_MAXIMUM_ADDED", "EXCLUSIVE_MAXIMUM_DECREASED"),
            ("maxLength", "MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED"),
            ("maxItems", "MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED"),
            ("maxProperties", "MAX_PROPERTIES_ADDED", "MAX_PROPERTIES_DECREASED"),
        ];
        const LOWER: [(&str, &str, &str); 5] = [
            ("minimum", "MINIMUM_ADDED", "MINIMUM_INCREASED"),
            ("exclusiveMinimum", "EXCLUSIVE_MINIMUM_ADDED", "EXCLUSIVE_MINIMUM_INCREASED"),
            ("minLength", "MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED"),
            ("minItems", "MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED"),
            ("minProperties", "MIN_PROPERTIES_ADDED", "MIN_PROPERTIES_INCREASED"),
        ];
        for (table, tightens) in [(UPPER, f64::lt as fn(&f64, &f64) -> bool), (LOWER, f64::gt)] {
            for (key, added, tightened) in table {
                let bound = |node: Node<'_>| node.get(key).and_then(Value::as_f64);
                match (bound(original), bound(update)) {
                    (_, None) => {}
                    (None, Some(_)) => self.report_at(key, added),
                    (Some(before), Some(after)) if tightens(&after, &before) => self.report_at(key, tightened),
                    _ => {}
                }
            }
        }
        match (original.get("multipleOf").and_then(Value::as_f64), update.get("multipleOf").and_then(Value::as_f64)) {
            (_, None) => {}
            (None, Some(_)) => self.report_at("multipleOf", "MULTIPLE_OF_ADDED"),
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) if after % before == 0.0 => {
                self.report_at("multipleOf", "MULTIPLE_OF_EXPANDED")
            }
            (Some(before), Some(after)) if before % after == 0.0 => {}
            _ => self.report_at("multipleOf", "MULTIPLE_OF_CHANGED"),
        }
        match (original.get("pattern"), update.get("pattern")) {
            (_, None) => {}
            (None, Some(_)) => self.report_at("pattern", "PATTERN_ADDED"),
            (before, after) if before == after => {}
            _ => self.report_at("pattern", "PATTERN_CHANGED"),
        }
    }

    fn objects(&mut self, original: Node<'_>, update: Node<'_>) {
        fn property<'a>(node: Node<'a>, name: &str) -> Option<&'a Value> {
            node.get("properties").and_then(|properties| properties.get(name))
        }
        let required = |node: Node<'_>| -> BTreeSet<String> {
            let list = node.get("required").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (required_before, required_after) = (required(original), required(update));
        let has_default = |name: &str| {
            property(update, name).is_some_and(|value| update.at(value).resolved().get("default").is_some())
        };
        for (name, _) in object(original.get("properties")).filter(|(name, _)| property(update, name).is_some()) {
            if !required_before.contains(name) && required_after.contains(name) && !has_default(name) {
                self.within(&["required", name], |diff| diff.report("REQUIRED_ATTRIBUTE_ADDED"));
            }
        }
        for (name, value) in object(original.get("properties")) {
            let steps = ["properties", name.as_str()];
            match property(update, name) {
                Some(new) => self.within(&steps, |diff| diff.nodes(original.at(value), update.at(new))),
                None => self.within(&steps, |diff| match content(update, name) {
                    Content::Open => {}
                    Content::Partial(rest) => {
                        if !diff.attempt(original.at(value), update.at(rest)).is_empty() {
                            diff.report("PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                        }
                    }
                    Content::Closed if value == &Value::Bool(false) => {}
                    Content::Closed => diff.report("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
                }),
            }
        }
        for (name, value) in object(update.get("properties")).filter(|(name, _)| property(original, name).is_none()) {
            self.within(&["properties", name], |diff| {
                match content(original, name) {
                    Content::Open => {
                        if !takes_everything(update.at(value).resolved().value) {
                            diff.report("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL");
                        }
                        return;
                    }
                    Content::Partial(rest) => {
                        if !diff.attempt(original.at(rest), update.at(value)).is_empty() {
                            diff.report("PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                        }
                    }
                    Content::Closed => {}
                }
                if required_after.contains(name) && !has_default(name) {
                    diff.report("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL");
                }
            });
        }
        self.rest(
            original,
            update,
            "additionalProperties",
            ["ADDITIONAL_PROPERTIES_REMOVED", "ADDITIONAL_PROPERTIES_NARROWED"],
        );
        self.dependencies(original, update);
    }

    fn dependencies(&mut self, original: Node<'_>, update: Node<'_>) {
        for key in ["dependencies", "dependentRequired", "dependentSchemas"] {
            for (name, after) in object(update.get(key)) {
                self.within(&[key, name], |diff| match (original.get(key).and_then(|d| d.get(name)), after) {
                    (None, Value::Array(_)) => diff.report("DEPENDENCY_ARRAY_ADDED"),
                    (None, _) => diff.report("DEPENDENCY_SCHEMA_ADDED"),
                    (Some(Value::Array(before)), Value::Array(after)) => {
                        if after.iter().any(|name| !before.contains(name)) {
                            diff.report("DEPENDENCY_ARRAY_EXTENDED");
                        }
                    }
                    (Some(before), after) => diff.nodes(original.at(before), update.at(after)),
                });
            }
        }
    }

    /// `additionalProperties` and `additionalItems`: absent and `true` take everything.
    fn rest(&mut self, original: Node<'_>, update: Node<'_>, key: &str, [removed, narrowed]: [&'static str; 2]) {
        let everything = Value::Bool(true);
        let before = original.get(key).unwrap_or(&everything);
        let after = update.get(key).unwrap_or(&everything);
        self.within(&[key], |diff| match (before, after) {
            (Value::Bool(false), _) => {}
            (_, Value::Bool(false)) => diff.report(removed),
            (before, after) if takes_everything(before) && !takes_everything(after) => diff.report(narrowed),
            (before, after) => diff.nodes(original.at(before), update.at(after)),
        });
    }

    fn arrays(&mut self, original: Node<'_>, update: Node<'_>) {
        let everything = Value::Bool(true);
        fn all(node: Node<'_>) -> Option<&Value> {
            node.get("items").filter(|items| !items.is_array())
        }
        fn each(node: Node<'_>) -> &[Value] {
            let list = node.get("prefixItems").or_else(|| node.get("items")).and_then(Value::as_array);
            list.map_or(&[], Vec::as_slice)
        }
        if each(original).is_empty() && each(update).is_empty() {
            match (all(original), all(update)) {
                (_, None) => {}
                (None, Some(after)) if takes_everything(after) => {}
                (before, Some(after)) => {
                    self.within(&["items"], |diff| {
                        diff.nodes(original.at(before.unwrap_or(&everything)), update.at(after))
                    });
                }
            }
        } else {
            let (before, after) = (each(original), each(update));
            for index in 0..before.len().max(after.len()) {
                let step = index.to_string();
                self.within(&["items", &step], |diff| match (before.get(index), after.get(index)) {
                    (Some(before), Some(after)) => diff.nodes(original.at(before), update.at(after)),
                    (Some(before), None) => match update.get("additionalItems") {
                        Some(Value::Bool(false)) if before != &Value::Bool(false) => {
                            diff.report("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL");
                        }
                        Some(rest @ Value::Object(_))
                            if !diff.attempt(original.at(before), update.at(rest)).is_empty() =>
                        {
                            diff.report("ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                        }
                        _ => {}
                    },
                    (None, Some(after)) => match original.get("additionalItems") {
                        Some(Value::Bool(false)) => {}
                        Some(rest @ Value::Object(_)) => {
                            if !diff.attempt(original.at(rest), update.at(after)).is_empty() {
                                diff.report("ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL");
                            }
                        }
                        _ if takes_everything(after) => {}
                        _ => diff.report("ITEM_ADDED_TO_OPEN_CONTENT_MODEL"),
                    },
                    (None, None) => {}
                });
            }
            self.rest(original, update, "additionalItems", ["ADDITIONAL_ITEMS_REMOVED", "ADDITIONAL_ITEMS_NARROWED"]);
        }
        let unique = |node: Node<'_>| node.get("uniqueItems") == Some(&Value::Bool(true));
        if unique(update) && !unique(original) {
            self.report_at("uniqueItems", "UNIQUE_ITEMS_ADDED");
        }
    }

    /// Compares `allOf`, `anyOf`, `oneOf` if either side has one; says whether that settles the matter.
    fn combined(&mut self, original: Node<'_>, update: Node<'_>) -> bool {
        match (combination(original), combination(update)) {
            (None, None) => false,
            (None, Some((criterion, branches))) => {
                // All branches of a product must take the original, one of a sum.
                let failed = branches.iter().filter(|b| !self.attempt(original, update.at(b)).is_empty()).count();
                let fits = if criterion == "allOf" { failed == 0 } else { failed < branches.len() };
                if !fits {
                    self.report("TYPE_CHANGED");
                }
                // Keywords beside the combination still count.
                is_bare(update.value, criterion) || !fits
            }
            (Some((criterion, branches)), None) => {
                let failed = branches.iter().filter(|b| !self.attempt(original.at(b), update).is_empty()).count();
                let fits = if criterion == "allOf" { failed < branches.len() } else { failed == 0 };
                if fits && !branches.is_empty() {
                    return true;
                }
                if !is_bare(original.value, criterion) {
                    return false;
                }
                self.report("TYPE_CHANGED");
                true
            }
            (Some((before, old)), Some((after, new))) => {
                let extends = before == after
                    || after == "anyOf"
                    || (after == "oneOf" && old.len() == 1)
                    || (after == "allOf" && old.len() == 1 && new.len() == 1);
                if !extends {
                    self.report("COMBINED_TYPE_CHANGED");
                    return true;
                }
                if after == "allOf" && new.len() > old.len() {
                    self.report_at("allOf", "PRODUCT_TYPE_EXTENDED");
                } else if after != "allOf" && new.len() < old.len() {
                    self.report_at(after, "SUM_TYPE_NARROWED");
                }
                let fits: Vec<Vec<bool>> = old
                    .iter()
                    .map(|o| new.iter().map(|n| self.attempt(original.at(o), update.at(n)).is_empty()).collect())
                    .collect();
                if matching(&fits, new.len()) < old.len().min(new.len()) {
                    self.report_at(after, "COMBINED_TYPE_SUBSCHEMAS_CHANGED");
                }
                is_bare(original.value, before) && is_bare(update.value, after)
            }
        }
    }
}

/// The first combination of a schema that has any branches.
fn combination<'a>(node: Node<'a>) -> Option<(&'static str, &'a [Value])> {
    ["oneOf", "anyOf", "allOf"].into_iter().find_map(|key| Some((key, node.get(key)?.as_array()?.as_slice())))
}

/// Nothing but the combination and annotations.
fn is_bare(value: &Value, criterion: &str) -> bool {
    let Value::Object(object) = value else { return true };
    let rest: Map<_, _> =
        object.iter().filter(|(key, _)| *key != criterion).map(|(k, v)| (k.clone(), v.clone())).collect();
    takes_everything(&Value::Object(rest))
}

/// Types a schema takes; without `type` those its keywords speak of, else all.
fn types(value: &Value) -> BTreeSet<&str> {
    match value.get("type") {
        Some(Value::String(name)) => [name.as_str()].into(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if ["properties", "required", "additionalProperties", "patternProperties"]
            .iter()
            .any(|k| value.get(k).is_some()) =>
        {
            ["object"].into()
        }
        _ if ["items", "prefixItems", "minItems", "maxItems"].iter().any(|k| value.get(k).is_some()) => {
            ["array"].into()
        }
        _ => ["array", "boolean", "integer", "null", "number", "object", "string"].into(),
    }
}

/// How `schema` treats a field called `name` that it does not name.
fn content<'a>(schema: Node<'a>, name: &str) -> Content<'a> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object).filter(|patterns| !patterns.is_empty());
    for (pattern, value) in patterns.into_iter().flatten() {
        let compiled = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
        if compiled.is_ok_and(|pattern| pattern.is_match(name)) {
            return Content::Partial(value);
        }
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => Content::Closed,
        Some(rest @ Value::Object(_)) => Content::Partial(rest),
        _ if patterns.is_some() => Content::Closed,
        _ => Content::Open,
    }
}

/// Size of the largest matching between old branches and the new ones that take them (augmenting paths).
fn matching(fits: &[Vec<bool>], new: usize) -> usize {
    fn place(old: usize, fits: &[Vec<bool>], taken: &mut [Option<usize>], tried: &mut [bool]) -> bool {
        for candidate in 0..taken.len() {
            if fits[old][candidate] && !tried[candidate] {
                tried[candidate] = true;
                if taken[candidate].is_none_or(|other| place(other, fits, taken, tried)) {
                    taken[candidate] = Some(old);
                    return true;
                }
            }
        }
        false
    }
    let mut taken = vec![None; new];
    (0..fits.len()).filter(|&old| place(old, fits, &mut taken, &mut vec![false; new])).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Definitions whose objects have the next one's under three names each, so that there are 3^depth leaves.
    fn unfolding(depth: usize, name: &str, leaf: &str) -> Schema {
        let object = |i: usize| {
            let next = i + 1;
            let property = |j: usize| format!(r##""{name}{j}":{{"$ref":"#/definitions/n{next}"}}"##);
            format!(r#""n{i}":{{"properties":{{{}}}}}"#, (0..3).map(property).collect::<Vec<_>>().join(","))
        };
        let definitions: Vec<_> = (0..depth).map(object).collect();
        let text = format!(
            r##"{{"$ref":"#/definitions/n0","definitions":{{{},"n{depth}":{{"type":"{leaf}"}}}}}}"##,
            definitions.join(",")
        );
        Schema::parse(&text, &[]).expect("a schema")
    }

    #[test]
    fn messages_are_bounded_however_far_a_schema_unfolds() {
        let name = "x".repeat(1000);
        let (old, new) = (unfolding(9, &name, "integer"), unfolding(9, &name, "string"));
        let found = narrowings(&old, &new, ["old", "new"]);
        assert_eq!(found.len(), FAULTS_MAX);
        assert!(found.iter().all(|message| message.len() < PATH_BYTES_MAX + 300));
    }
}
