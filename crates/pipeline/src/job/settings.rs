//! One definition of each setting: the job's value, its default, the change that a file or the command line makes to it, and
//! its description.

/// A section of the job's settings.
///
/// A setting is a line `name: type [given] = default`, with its description above it and with what the command line calls it.
/// `given` is what a change holds: the type itself, or what is inside an `Option`. From these lines come
///
/// - the section, as the stages read it, with its defaults;
/// - its changes, in which everything is optional: a job file is read as changes of a preset's job, and with the feature
///   `clap` the command line is parsed as the same changes;
/// - with the feature `schema`, the changes' JSON schema, which the server's interface has;
/// - the descriptions, which [`super::Job::explain`] prints and `--help` shows.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        #[heading = $heading:literal]
        pub struct $name:ident, changed by $changes:ident {
            $(
                $(#[doc = $doc:literal])+
                #[arg($($arg:tt)+)]
                $field:ident: $ty:ty [$given:ty] = $default:expr,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                pub $field: $ty,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        #[doc = concat!("Changes of [`", stringify!($name), "`]: what isn't given stays as it is.")]
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = $heading))]
        #[serde(deny_unknown_fields, default)]
        pub struct $changes {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                #[cfg_attr(feature = "clap", arg($($arg)+))]
                pub $field: Option<$given>,
            )+
        }

        impl $changes {
            /// Makes the changes.
            pub fn apply(self, to: &mut $name) {
                $(
                    if let Some(value) = self.$field {
                        to.$field = value.into();
                    }
                )+
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $changes {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let fields = [$((
                    stringify!($field),
                    [$($doc),+].as_slice(),
                    <$given as $crate::job::schema::InSchema>::schema(),
                )),+];
                $crate::job::schema::section(&[$($about),+], fields)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $changes {
            fn schemas(all: &mut $crate::job::schema::Schemas) {
                $(<$given as $crate::job::schema::InSchema>::collect(all);)+
            }
        }

        impl $crate::job::explain::Section for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const SETTINGS: &'static [(&'static str, &'static [&'static str])] =
                &[$((stringify!($field), &[$($doc),+])),+];
        }
    };
}

pub(crate) use settings;
