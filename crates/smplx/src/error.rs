//! What can go wrong: one variant for each cause.

use std::path::PathBuf;

/// A wrong file, array, frame or argument.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that isn't what it should be.
    #[error("{}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// The bytes aren't a readable `.npz`.
    #[error("not a readable npz archive")]
    Npz(#[source] tensorfile::Error),
    /// An array is listed in the archive but can't be read.
    #[error("array `{array}` can't be read")]
    Array {
        /// Name of the array.
        array: String,
        /// Why.
        #[source]
        source: tensorfile::Error,
    },
    /// A body or motion file lacks an array.
    #[error("array `{array}` is missing{hint}")]
    MissingArray {
        /// Name of the array.
        array: &'static str,
        /// What the file may be instead; empty or begins with a colon.
        hint: &'static str,
    },
    /// An array has another shape than the rest of the file asks for.
    #[error("array `{array}` has shape {found:?}, expected {expected}")]
    Shape {
        /// Name of the array.
        array: String,
        /// The expected shape in words: `[V, 3]`, `[55, 10475]` …
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// An array holds a value that makes no sense there: NaN, an index out of range, weights that don't sum to one.
    #[error("array `{array}`, element {index}: {problem}")]
    Value {
        /// Name of the array.
        array: String,
        /// Flat index of the first such element (or of its row, where the row is wrong).
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A compact body file of another version.
    #[error("compact body file of version {found}, this crate reads version {expected}")]
    Version {
        /// The version this crate reads.
        expected: u32,
        /// The version found.
        found: u32,
    },
    /// More coefficients than the model has components.
    #[error("{found} {what} given, the model has {available}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many the model has.
        available: usize,
        /// How many were given.
        found: usize,
    },
    /// Two arguments that must agree in length don't.
    #[error("{what}: expected {expected} elements, got {found}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length given.
        found: usize,
    },
    /// An argument that isn't finite or lies outside what the operation can take.
    #[error("{what}: {problem}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The model lacks something that not every body has: landmarks, hand components …
    #[error("this body has no {what}")]
    NotInModel {
        /// What it lacks.
        what: &'static str,
    },
    /// A motion frame that can't be used.
    #[error("frame {frame}: {problem}")]
    Frame {
        /// The frame: the number in its file's name where it has one, else its position from 0.
        frame: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An estimator's file that lacks something, or has it in another shape.
    #[error("{estimator}: {problem}")]
    Estimator {
        /// Whose layout the file has.
        estimator: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A pickle or PyTorch file that can't be read.
    #[error("its contents can't be read")]
    Pickle(#[source] tensorfile::Error),
    /// A file that is something else.
    #[error("this is {found}, not {wanted}{advice}")]
    NotThis {
        /// What it is.
        found: String,
        /// What was wanted: `a motion`, `a SMPL-X body`.
        wanted: &'static str,
        /// What to do; empty, or begins with a colon or a semicolon.
        advice: String,
    },
    /// A JSON text that can't be parsed.
    #[error("{what} isn't the JSON that was expected")]
    Json {
        /// What was parsed: a file name or the name of the format.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A motion without frames, or a folder without frame files.
    #[error("{what} holds no frames")]
    NoFrames {
        /// The folder, file or operation.
        what: String,
    },
    /// A PLY file that can't be read.
    #[error("not a readable PLY point file")]
    Ply(#[from] tensorfile::ply::PlyError),
    /// A point that lies nowhere.
    #[error("point {point} has a coordinate that isn't finite")]
    PointNotFinite {
        /// Its number in the file.
        point: usize,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
