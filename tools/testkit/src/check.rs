//! Comparing computed tensors with a case's outputs.

use crate::Case;
use std::collections::BTreeSet;

/// What became of one output tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Within its tolerance.
    Pass,
    /// Outside it, of another shape, or not a number.
    Fail,
    /// The port never computed it.
    NotCompared,
}

/// One line of a parity report.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the case.
    pub case: String,
    /// Full name of the output tensor, run included.
    pub tensor: String,
    /// Largest absolute difference; infinite where shapes differ or something isn't finite.
    pub worst: f64,
    /// The tolerance it was held against.
    pub atol: f64,
    /// The verdict.
    pub status: Status,
    /// Anything else worth knowing: outliers, the index of the worst element, a shape mismatch.
    pub note: String,
}

/// A bounded number of elements that may lie outside the tolerance.
#[derive(Clone, Copy, Debug)]
pub struct Outliers {
    /// Largest share of elements outside, 0 to 1.
    pub share: f64,
    /// Their own, looser tolerance.
    pub atol: f64,
}

/// Collects comparisons for one case.
#[derive(Debug)]
pub struct Checker<'a> {
    case: &'a Case,
    rows: Vec<Row>,
    seen: BTreeSet<String>,
}

impl<'a> Checker<'a> {
    /// A checker without rows.
    #[must_use]
    pub fn new(case: &'a Case) -> Self {
        Self { case, rows: Vec::new(), seen: BTreeSet::new() }
    }

    /// Compares a floating-point tensor. `tensor` is the full output name (`<run>.<tensor>`).
    pub fn f32(&mut self, tensor: &str, shape: &[usize], actual: &[f32]) {
        let wide: Vec<f64> = actual.iter().map(|&x| x.into()).collect();
        self.compare(tensor, shape, &wide, None);
    }

    /// Compares a double-precision tensor.
    pub fn f64(&mut self, tensor: &str, shape: &[usize], actual: &[f64]) {
        self.compare(tensor, shape, actual, None);
    }

    /// Compares a byte tensor.
    pub fn u8(&mut self, tensor: &str, shape: &[usize], actual: &[u8]) {
        let wide: Vec<f64> = actual.iter().map(|&x| x.into()).collect();
        self.compare(tensor, shape, &wide, None);
    }

    /// Compares an integer tensor.
    pub fn i64(&mut self, tensor: &str, shape: &[usize], actual: &[i64]) {
        let wide: Vec<f64> = actual.iter().map(|&x| x as f64).collect();
        self.compare(tensor, shape, &wide, None);
    }

    /// Compares a floating-point tensor of which a few elements may lie further off.
    pub fn f32_with_outliers(&mut self, tensor: &str, shape: &[usize], actual: &[f32], outliers: Outliers) {
        let wide: Vec<f64> = actual.iter().map(|&x| x.into()).collect();
        self.compare(tensor, shape, &wide, Some(outliers));
    }

    /// Does the case expect this tensor?
    #[must_use]
    pub fn expects(&self, tensor: &str) -> bool {
        self.case.outputs.contains(tensor)
    }

    /// Notes a failure that isn't a comparison: a run that returned an error, say.
    pub fn fail(&mut self, what: &str, why: impl std::fmt::Display) {
        let note = why.to_string();
        self.push(what, f64::INFINITY, 0.0, Status::Fail, note);
    }

    /// The rows, the outputs that nobody compared last.
    #[must_use]
    pub fn finish(mut self) -> Vec<Row> {
        for name in self.case.outputs.names() {
            if !self.seen.contains(name) {
                let row = Row {
                    case: self.case.name.clone(),
                    tensor: name.to_owned(),
                    worst: f64::INFINITY,
                    atol: 0.0,
                    status: Status::NotCompared,
                    note: "never computed".to_owned(),
                };
                self.rows.push(row);
            }
        }
        self.rows
    }

    fn push(&mut self, tensor: &str, worst: f64, atol: f64, status: Status, note: String) {
        self.seen.insert(tensor.to_owned());
        let case = self.case.name.clone();
        self.rows.push(Row { case, tensor: tensor.to_owned(), worst, atol, status, note });
    }

    fn compare(&mut self, tensor: &str, shape: &[usize], actual: &[f64], outliers: Option<Outliers>) {
        let (expected_shape, expected) = match expected(self.case, tensor) {
            Ok(found) => found,
            Err(error) => return self.fail(tensor, format!("{error:#}")),
        };
        if expected_shape != shape || expected.len() != actual.len() {
            let note =
                format!("shape: expected {expected_shape:?}, got {shape:?} ({} elements)", actual.len());
            return self.fail(tensor, note);
        }
        let tolerance = &self.case.json["tolerances"][tensor];
        let Some(atol) = tolerance["atol"].as_f64() else {
            return self.fail(tensor, "the case states no tolerance");
        };
        let rtol = tolerance["rtol"].as_f64().unwrap_or(0.0);
        // A reference that is NaN asks for NaN.
        let error = |(&a, &e): (&f64, &f64)| match (a.is_nan(), e.is_nan()) {
            (true, true) => 0.0,
            (false, false) if a == e => 0.0,
            (false, false) => ((a - e).abs() - rtol * e.abs()).max(0.0),
            _ => f64::INFINITY,
        };
        let errors: Vec<f64> = actual.iter().zip(&expected).map(error).collect();
        let (at, worst) = errors
            .iter()
            .copied()
            .enumerate()
            .fold((0, 0.0), |best, (i, e)| if e > best.1 { (i, e) } else { best });
        let outside = errors.iter().filter(|&&e| e > atol).count();
        let ok = match outliers {
            _ if outside == 0 => true,
            Some(o) => worst <= o.atol && outside as f64 <= o.share * errors.len() as f64,
            None => false,
        };
        let mut note = String::new();
        if outside > 0 {
            note = format!(
                "{outside} of {} outside; worst at {at}: expected {:e}, got {:e}",
                errors.len(),
                expected[at],
                actual[at]
            );
        }
        let status = if ok { Status::Pass } else { Status::Fail };
        self.push(tensor, worst, atol, status, note);
    }
}

fn expected(case: &Case, tensor: &str) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    if let Ok(array) = case.outputs.i64(tensor) {
        return Ok((array.shape, array.data.into_iter().map(|x| x as f64).collect()));
    }
    let array = case.outputs.f64(tensor)?;
    Ok((array.shape, array.data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::{Dtype, tensor::TensorView};

    fn case() -> (tempfile::TempDir, Case) {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![4], &bytes).unwrap();
        safetensors::serialize_to_file(
            [("r.a", view.clone()), ("r.b", view)],
            None,
            &dir.path().join("outputs.safetensors"),
        )
        .unwrap();
        let json = r#"{"kind":"toy","tolerances":{"r.a":{"atol":0.01},"r.b":{"atol":0.01}}}"#;
        std::fs::write(dir.path().join("case.json"), json).unwrap();
        let case = Case::open(dir.path()).unwrap();
        (dir, case)
    }

    fn verdict(actual: &[f32], shape: &[usize], outliers: Option<Outliers>) -> Status {
        let (_dir, case) = case();
        let mut checker = Checker::new(&case);
        match outliers {
            Some(o) => checker.f32_with_outliers("r.a", shape, actual, o),
            None => checker.f32("r.a", shape, actual),
        }
        let rows = checker.finish();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].status, Status::NotCompared);
        rows[0].status
    }

    #[test]
    fn accepts_what_is_within_tolerance_only() {
        assert_eq!(verdict(&[1.0, 2.0, 3.0, 4.009], &[4], None), Status::Pass);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, 4.02], &[4], None), Status::Fail);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, f32::NAN], &[4], None), Status::Fail);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, f32::INFINITY], &[4], None), Status::Fail);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, 4.0], &[2, 2], None), Status::Fail);
    }

    #[test]
    fn bounds_the_outliers() {
        let quarter = Some(Outliers { share: 0.25, atol: 0.1 });
        assert_eq!(verdict(&[1.0, 2.0, 3.0, 4.05], &[4], quarter), Status::Pass);
        assert_eq!(verdict(&[1.0, 2.0, 3.05, 4.05], &[4], quarter), Status::Fail);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, 4.2], &[4], quarter), Status::Fail);
        assert_eq!(verdict(&[1.0, 2.0, 3.0, f32::NAN], &[4], quarter), Status::Fail);
    }
}
