//! The settings as a JSON schema: what the macro `settings!` knows of each, for the server's interface.

use super::{
    Activations, Actor, Blend, Dtype, FewStepName, FirstFrame, Fit, Interval, LightSource, Lora, Prepare,
    Preset, SolverName, StepCacheSettings, Stroke, SunPlace, Until, Who,
};
use std::path::PathBuf;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{AllOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Schemas by name.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a setting holds, in a schema.
pub(crate) trait InSchema {
    /// Itself, or a reference to its name.
    fn schema() -> RefOr<Schema>;
    /// What is referred to.
    fn collect(_all: &mut Schemas) {}
}

macro_rules! plain {
    ($($type:ty = $as:ident),+ $(,)?) => {
        $(impl InSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(SchemaType::new(Type::$as)).into()
            }
        })+
    };
}

plain! {
    PathBuf = String, String = String, bool = Boolean, usize = Integer, u32 = Integer, u64 = Integer, f32 = Number, f64 = Number,
}

impl InSchema for SunPlace {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(<f32 as InSchema>::schema()).min_items(Some(2)).max_items(Some(2)).into()
    }
}

impl InSchema for Who {
    /// A person's number, a place of a frame, or "all".
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Integer, Type::String])).into()
    }
}

impl<T: InSchema> InSchema for Vec<T> {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(T::schema()).into()
    }

    fn collect(all: &mut Schemas) {
        T::collect(all);
    }
}

/// Types that have a name of their own in the document.
macro_rules! named {
    ($($type:ty),+ $(,)?) => {
        $(impl InSchema for $type {
            fn schema() -> RefOr<Schema> {
                Ref::from_schema_name(<$type as ToSchema>::name()).into()
            }

            fn collect(all: &mut Schemas) {
                all.push((<$type as ToSchema>::name().into_owned(), <$type as PartialSchema>::schema()));
                <$type as ToSchema>::schemas(all);
            }
        })+
    };
}

named! {
    Activations, Actor, Blend, Dtype, FewStepName, FirstFrame, Fit, Interval, LightSource, Lora, Prepare, Preset, SolverName, StepCacheSettings, Stroke, Until,
}

/// A section of settings: their names, descriptions (line by line) and what they hold. Nothing else may be in it.
pub(crate) fn section<const N: usize>(
    about: &[&str],
    fields: [(&str, &[&str], RefOr<Schema>); N],
) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new().description(Some(joined(about)));
    for (name, about, holds) in fields {
        object = object.property(name, described(holds, joined(about)));
    }
    object.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn described(holds: RefOr<Schema>, about: String) -> RefOr<Schema> {
    match holds {
        RefOr::T(Schema::Object(mut object)) => {
            object.description = Some(about);
            Schema::Object(object).into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.description = Some(about);
            Schema::Array(array).into()
        }
        other => AllOfBuilder::new().item(other).description(Some(about)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Job, JobChanges};
    use super::*;
    use crate::Preset;

    #[test]
    fn every_setting_of_a_job_is_in_the_schema() {
        let mut all = Schemas::new();
        JobChanges::schemas(&mut all);
        let schema = |name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            serde_json::to_value(&found.unwrap_or_else(|| panic!("{name} isn't there")).1).unwrap()
        };
        let mut job = Job::new(Preset::Demo);
        job.replace = Some(crate::Replace::default());
        let job = serde_json::to_value(job).unwrap();
        for (section, name) in [
            ("input", "InputChanges"),
            ("light", "LightChanges"),
            ("video", "VideoChanges"),
            ("models", "ModelChanges"),
            ("prompt", "PromptChanges"),
            ("sampling", "SamplingChanges"),
            ("output", "OutputChanges"),
            ("replace", "ReplaceChanges"),
        ] {
            let schema = schema(name);
            for setting in job[section].as_object().unwrap().keys() {
                let about = &schema["properties"][setting]["description"];
                assert!(about.as_str().is_some_and(|about| about.len() > 5), "{section}.{setting}: {schema}");
            }
        }
        assert_eq!(schema("Fit")["enum"], serde_json::json!(["stretch", "crop", "pad"]));
    }
}
