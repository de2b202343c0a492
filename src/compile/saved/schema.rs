//! The JSON Schema of saved plans, made of the types that they are written with.

use schemars::generate::SchemaSettings;

use crate::base::Json;
use crate::compile::saved::document::Document;

/// Fields that a file of an earlier homing of the same version lacks.
const LATER: &[&str] = &["answered", "basis", "down_from_s", "slow_s", "start_s"];

/// The schema (draft 2020-12) of what `plan --out` writes, and has written since version 2.
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Document>().to_value();
    schema["title"] = "A plan of homing".into();
    // A document gets its seal last; a file always has it.
    schema["required"].as_array_mut().expect("BUG: a plan has fields").push("seal".into());
    without_later(&mut schema);
    schema
}

fn without_later(schema: &mut Json) {
    let later = |name: &Json| name.as_str().is_some_and(|name| LATER.contains(&name));
    match schema {
        Json::Object(fields) => {
            if let Some(Json::Array(required)) = fields.get_mut("required") {
                required.retain(|name| !later(name));
            }
            fields.values_mut().for_each(without_later);
        }
        Json::Array(items) => items.iter_mut().for_each(without_later),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compile::saved::tests::{document, proved, proved_scoped};

    /// Set to anything, this test writes the file anew: look at the difference before you keep it.
    const RENEW: &str = "HOMING_RENEW_SCHEMA";
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/compile/saved/plan.schema.json");

    #[test]
    fn the_file_is_what_the_types_say() {
        let text = format!("{:#}\n", schema());
        if std::env::var_os(RENEW).is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        let kept = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(kept == text, "the format changed: {RENEW}=1 cargo test writes {FILE} anew");
    }

    #[test]
    fn every_field_is_explained() {
        let schema = schema();
        let mut objects = vec![(String::from("plan"), &schema)];
        for (name, one) in schema["$defs"].as_object().unwrap() {
            objects.push((name.clone(), one));
            let several = ["oneOf", "anyOf"].iter().filter_map(|key| one[*key].as_array());
            objects.extend(several.flatten().map(|one| (name.clone(), one)));
        }
        for (name, object) in objects {
            for (field, told) in object["properties"].as_object().into_iter().flatten() {
                // Of a variant that is its only field the variant is explained.
                let alone = name == "Basis" && object["description"].is_string();
                assert!(told["description"].is_string() || alone, "{name}.{field}: {told}");
            }
        }
    }

    fn fits(schema: &Json, document: &Json) -> Result<(), String> {
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.add_resource("plan.json", schema.clone()).unwrap();
        let compiled = compiler.compile("plan.json", &mut schemas).unwrap();
        schemas.validate(document, compiled).map_err(|wrong| format!("{wrong:#}"))
    }

    #[test]
    fn saved_plans_fit_it_and_others_do_not() {
        let schema = schema();
        for plan in [proved(), proved_scoped()] {
            let good = serde_json::to_value(document(&plan)).unwrap();
            fits(&schema, &good).unwrap();
            type Edit = fn(&mut Json);
            let edits: &[Edit] = &[
                |plan| plan["homing_plan"] = json!(3),
                |plan| plan["digest"] = json!("not hexadecimal"),
                |plan| plan["steps"][0]["id"] = json!("../x"),
                |plan| plan["steps"][0]["start_s"] = json!("soon"),
                |plan| plan["steps"][0]["basis"] = json!({ "runs": -1 }),
                |plan| plan["steps"][0]["policy"]["mood"] = json!(1),
                |plan| plan["scopes"][1]["kind"] = json!("handler"),
                |plan| plan["scopes"][0]["rules"]["mood"] = json!(1),
                |plan| plan["machines"] = json!({ "Web 01": {} }),
                |plan| drop(plan.as_object_mut().unwrap().remove("seal")),
                |plan| drop(plan["steps"][0].as_object_mut().unwrap().remove("undoes")),
            ];
            for (at, edit) in edits.iter().enumerate() {
                let mut wrong = good.clone();
                edit(&mut wrong);
                assert!(fits(&schema, &wrong).is_err(), "edit {at}");
            }
        }
    }
}
