//! The forward pass: coefficients and rotations in, vertices and joints out, for one frame or many.
//!
//! Vertices are worked on in blocks of 16. For each block the pose correctives are added to the shaped template and the
//! sum is skinned while it's in the first-level cache, so that no offsets of the whole body are ever stored. What bounds
//! one frame is reading the table of correctives once (`486 × 3 × V` floats: 61 MB at V = 10,475); what bounds many frames is
//! arithmetic (`2 × 486 × 3 × V` floating-point operations a frame: 30.5 MFLOP). Joints that are at rest in all frames, eyes
//! and hands mostly, cost neither: their columns of the table are passed over.

use crate::blocks::{Panel, PanelTerm, Term, add_few, add_many, skin_few, skin_many};
use crate::error::{Error, Result};
use crate::kinematics::{PosedJoints, Rotations, pose_joints};
use crate::lanes::{Block, LANES, Lane, n_blocks};
use crate::model::BodyModel;
use crate::rotation::{IDENTITY, Mat3};
use crate::skeleton::N_JOINTS;
use crate::weights::VertexWeight;
use rayon::prelude::*;
use simd::{Level, level};
use std::ops::Range;

/// One frame's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Shape coefficients; missing ones are zero.
    pub betas: &'a [f32],
    /// Expression coefficients; missing ones are zero.
    pub expression: &'a [f32],
    /// The joints' rotations.
    pub rotations: Rotations<'a>,
    /// Added to vertices and joints at the end, in metres.
    pub translation: [f32; 3],
}

impl Frame<'_> {
    /// The mean body at rest.
    pub const REST: Frame<'static> =
        Frame { betas: &[], expression: &[], rotations: Rotations::REST, translation: [0.0; 3] };
}

/// A posed body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posed {
    /// `[V]` vertices in metres.
    pub vertices: Vec<[f32; 3]>,
    /// The skeleton.
    pub joints: PosedJoints,
}

/// Frames that are worked on together: their coefficient panel stays in the second-level cache.
const FRAMES_AT_A_TIME: usize = 128;
/// Blocks of 16 vertices in one piece of parallel work.
const BLOCKS_IN_TILE: usize = 8;
/// Frames beyond whole lanes of 16 that are cheaper one by one than as one more lane.
const FEW: usize = 4;

impl BodyModel {
    /// Poses one frame.
    ///
    /// # Errors
    /// When there are more coefficients than components, or something isn't finite.
    pub fn forward(&self, frame: &Frame<'_>) -> Result<Posed> {
        let mut posed = Posed::default();
        self.forward_into(frame, &mut posed)?;
        Ok(posed)
    }

    /// Poses one frame into buffers that are reused.
    ///
    /// # Errors
    /// As [`BodyModel::forward`].
    pub fn forward_into(&self, frame: &Frame<'_>, posed: &mut Posed) -> Result<()> {
        posed.vertices.resize(self.n_vertices, [0.0; 3]);
        let joints = std::slice::from_mut(&mut posed.joints);
        self.forward_batch_into(std::slice::from_ref(frame), &mut posed.vertices, joints)
    }

    /// Poses many frames.
    ///
    /// # Errors
    /// As [`BodyModel::forward`].
    pub fn forward_batch(&self, frames: &[Frame<'_>]) -> Result<Vec<Posed>> {
        let mut vertices = vec![[0.0; 3]; frames.len() * self.n_vertices];
        let mut joints = vec![PosedJoints::default(); frames.len()];
        self.forward_batch_into(frames, &mut vertices, &mut joints)?;
        let each = vertices.chunks_exact(self.n_vertices).zip(joints);
        Ok(each.map(|(vertices, joints)| Posed { vertices: vertices.to_vec(), joints }).collect())
    }

    /// Poses many frames into the caller's buffers.
    ///
    /// # Shapes
    /// `vertices`: `[T, V]`; `joints`: `[T]`.
    ///
    /// # Errors
    /// As [`BodyModel::forward`], and [`Error::Length`] for buffers of another size.
    pub fn forward_batch_into(
        &self,
        frames: &[Frame<'_>],
        vertices: &mut [[f32; 3]],
        joints: &mut [PosedJoints],
    ) -> Result<()> {
        let expected = frames.len() * self.n_vertices;
        if vertices.len() != expected {
            return Err(Error::Length { what: "vertex buffer", expected, found: vertices.len() });
        }
        if joints.len() != frames.len() {
            let (what, expected, found) = ("joint buffer", frames.len(), joints.len());
            return Err(Error::Length { what, expected, found });
        }
        let chunks = frames.chunks(FRAMES_AT_A_TIME);
        let vertices = vertices.chunks_mut(FRAMES_AT_A_TIME * self.n_vertices);
        for ((frames, vertices), joints) in chunks.zip(vertices).zip(joints.chunks_mut(FRAMES_AT_A_TIME)) {
            let prepared = self.prepare(frames, joints)?;
            self.run(&prepared, vertices);
        }
        Ok(())
    }

    /// Poses the skeleton alone.
    ///
    /// # Errors
    /// As [`BodyModel::forward`].
    pub fn joints(&self, frame: &Frame<'_>) -> Result<PosedJoints> {
        let rotations = self.check(frame)?;
        let rest = self.rest_joints(frame.betas, frame.expression)?;
        Ok(pose_joints(&rest, &self.parents, &rotations, frame.translation))
    }

    /// The rest joints of a shape: `J_template + J_shape · betas + J_expression · expression`.
    ///
    /// # Errors
    /// [`Error::TooMany`] for more coefficients than components.
    pub fn rest_joints(&self, betas: &[f32], expression: &[f32]) -> Result<[[f32; 3]; N_JOINTS]> {
        self.check_counts(betas, expression)?;
        let mut rest = self.joint_template;
        let terms = betas.iter().zip(&self.joint_shape).chain(expression.iter().zip(&self.joint_expression));
        for (c, table) in terms.filter(|(c, _)| **c != 0.0) {
            for (joint, d) in rest.as_flattened_mut().iter_mut().zip(table.as_flattened()) {
                *joint += c * d;
            }
        }
        Ok(rest)
    }

    /// The template with shape and expression but no pose: `[V]` vertices in metres.
    ///
    /// # Errors
    /// [`Error::TooMany`] for more coefficients than components.
    pub fn shaped(&self, betas: &[f32], expression: &[f32]) -> Result<Vec<[f32; 3]>> {
        self.check_counts(betas, expression)?;
        let level = level();
        let betas: Vec<[f32; 1]> = trimmed(betas).iter().map(|c| [*c]).collect();
        let expression: Vec<[f32; 1]> = trimmed(expression).iter().map(|c| [*c]).collect();
        let mut blocks = self.template.clone();
        blocks.par_iter_mut().enumerate().for_each(|(at, block)| {
            let terms = [
                Term { directions: self.shape.of_block(at), coefficients: &betas },
                Term { directions: self.expression.of_block(at), coefficients: &expression },
            ];
            add_few(level, &terms, std::array::from_mut(block));
        });
        Ok(bytemuck::cast_slice(&blocks)[..self.n_vertices].to_vec())
    }

    fn check_counts(&self, betas: &[f32], expression: &[f32]) -> Result<()> {
        for (what, found, available) in [
            ("betas", betas.len(), self.n_betas()),
            ("expression coefficients", expression.len(), self.n_expressions()),
        ] {
            if found > available {
                return Err(Error::TooMany { what, available, found });
            }
        }
        Ok(())
    }

    /// The frame's rotations as matrices, when everything in it can be used.
    fn check(&self, frame: &Frame<'_>) -> Result<[Mat3; N_JOINTS]> {
        self.check_counts(frame.betas, frame.expression)?;
        let rotations = frame.rotations.matrices();
        for (what, values) in [
            ("betas", frame.betas),
            ("expression", frame.expression),
            ("translation", &frame.translation),
            ("rotations", rotations.as_flattened().as_flattened()),
        ] {
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Err(Error::Argument { what, problem: format!("element {at} isn't finite") });
            }
        }
        Ok(rotations)
    }

    /// Poses the skeletons and collects the coefficients of all tables.
    fn prepare<'a>(&self, frames: &[Frame<'a>], joints: &mut [PosedJoints]) -> Result<Prepared<'a>> {
        let mut features = Vec::with_capacity(frames.len());
        for (index, (frame, joints)) in frames.iter().zip(joints.iter_mut()).enumerate() {
            let rotations = self.check(frame).map_err(|e| in_frame(e, index, frames.len()))?;
            let rest = self.rest_joints(frame.betas, frame.expression)?;
            *joints = pose_joints(&rest, &self.parents, &rotations, frame.translation);
            let feature = |column: &u32| {
                let (joint, element) = (1 + *column as usize / 9, *column as usize % 9);
                rotations[joint].as_flattened()[element] - IDENTITY.as_flattened()[element]
            };
            features.push(self.pose_columns.iter().map(feature).collect());
        }
        let first = &frames[0];
        let same_shape = frames.iter().all(|f| f.betas == first.betas && f.expression == first.expression);
        let n_few = if frames.len() < LANES / 2 { frames.len() } else { frames.len() % LANES };
        let n_few = if frames.len() >= LANES / 2 && n_few > FEW { 0 } else { n_few };
        let transforms: Vec<_> = joints.iter().map(|j| j.transforms).collect();
        Ok(Prepared {
            betas: frames.iter().map(|f| trimmed(f.betas)).collect(),
            expressions: frames.iter().map(|f| trimmed(f.expression)).collect(),
            translations: frames.iter().map(|f| f.translation).collect(),
            pose_runs: used_runs(&features),
            features,
            transforms,
            same_shape,
            n_many: frames.len() - n_few,
        })
    }

    /// Computes the vertices of up to [`FRAMES_AT_A_TIME`] frames.
    fn run(&self, prepared: &Prepared<'_>, vertices: &mut [[f32; 3]]) {
        let level = level();
        let many = (prepared.n_many > 0).then(|| ManyFrames::new(prepared, prepared.n_many));
        let few: Vec<FewFrames> = prepared.few();
        let tile = BLOCKS_IN_TILE * LANES;
        let mut tiles: Vec<Vec<&mut [[f32; 3]]>> = Vec::new();
        tiles.resize_with(self.n_vertices.div_ceil(tile), || Vec::with_capacity(prepared.features.len()));
        for frame in vertices.chunks_mut(self.n_vertices) {
            for (tile, part) in tiles.iter_mut().zip(frame.chunks_mut(tile)) {
                tile.push(part);
            }
        }
        tiles.into_par_iter().enumerate().for_each(|(index, mut out)| {
            let mut offsets = Vec::new();
            for in_tile in 0..BLOCKS_IN_TILE {
                let at = index * BLOCKS_IN_TILE + in_tile;
                if at >= n_blocks(self.n_vertices) {
                    break;
                }
                let n = LANES.min(self.n_vertices - at * LANES);
                let part = in_tile * LANES..in_tile * LANES + n;
                let weights: [&[VertexWeight]; LANES] =
                    std::array::from_fn(|i| if i < n { self.weights.get(at * LANES + i) } else { &[] });
                if let Some(many) = &many {
                    many.block(self, level, at, &weights[..n], &mut offsets);
                    many.write(&offsets, &mut out[..prepared.n_many], part.clone());
                }
                for few in &few {
                    few.block(self, level, at, &weights[..n], &mut out, part.clone());
                }
            }
        });
    }
}

fn in_frame(error: Error, index: usize, n_frames: usize) -> Error {
    match error {
        Error::Argument { what, problem } if n_frames > 1 => {
            Error::Frame { frame: index, problem: format!("{what}: {problem}") }
        }
        other => other,
    }
}

/// Without the zeros at the end.
fn trimmed(coefficients: &[f32]) -> &[f32] {
    let used = coefficients.iter().rposition(|c| *c != 0.0).map_or(0, |last| last + 1);
    &coefficients[..used]
}

/// The columns in which a frame has something other than zero, as runs; short gaps aren't worth a run of their own.
fn used_runs(features: &[Vec<f32>]) -> Vec<Range<usize>> {
    const GAP: usize = 16;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for column in 0..features.first().map_or(0, Vec::len) {
        if features.iter().all(|frame| frame[column] == 0.0) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if column - run.end <= GAP => run.end = column + 1,
            _ => runs.push(column..column + 1),
        }
    }
    runs
}

/// The coefficients of up to [`FRAMES_AT_A_TIME`] frames.
struct Prepared<'a> {
    betas: Vec<&'a [f32]>,
    expressions: Vec<&'a [f32]>,
    translations: Vec<[f32; 3]>,
    features: Vec<Vec<f32>>,
    /// The columns of the pose table that some frame uses.
    pose_runs: Vec<Range<usize>>,
    transforms: Vec<[crate::Affine; N_JOINTS]>,
    same_shape: bool,
    /// The first so many frames go through the loop over lanes of frames, the others through that over single frames.
    n_many: usize,
}

impl Prepared<'_> {
    fn few(&self) -> Vec<FewFrames> {
        let mut rest = self.n_many..self.features.len();
        let mut few = Vec::new();
        while !rest.is_empty() {
            let n = match rest.len() {
                1 => 1,
                2 | 3 => 2,
                _ => 4,
            };
            few.push(FewFrames::new(self, rest.start, n));
            rest.start += n;
        }
        few
    }
}

/// One to four frames, interleaved for the loop that streams the tables once.
struct FewFrames {
    first: usize,
    coefficients: Interleaved,
    pose_runs: Vec<Range<usize>>,
    joints: Vec<Vec<Lane>>,
    translations: Vec<[f32; 3]>,
}

/// Coefficients `[table][column][frame]` for a number of frames known at compile time.
enum Interleaved {
    One([Vec<[f32; 1]>; 3]),
    Two([Vec<[f32; 2]>; 3]),
    Four([Vec<[f32; 4]>; 3]),
}

impl FewFrames {
    fn new(prepared: &Prepared<'_>, first: usize, n: usize) -> Self {
        fn interleave<const NF: usize>(prepared: &Prepared<'_>, first: usize) -> [Vec<[f32; NF]>; 3] {
            let features: Vec<&[f32]> = prepared.features.iter().map(Vec::as_slice).collect();
            [&prepared.betas, &prepared.expressions, &features].map(|table| {
                let frames = &table[first..first + NF];
                let n = frames.iter().map(|f| f.len()).max().unwrap_or(0);
                let at = |frame: &[f32], column| frame.get(column).copied().unwrap_or(0.0);
                (0..n).map(|column| std::array::from_fn(|f| at(frames[f], column))).collect()
            })
        }
        let joint =
            |t: &crate::Affine| Lane(std::array::from_fn(|i| if i % 4 < 3 { t[i % 4][i / 4] } else { 0.0 }));
        Self {
            first,
            coefficients: match n {
                1 => Interleaved::One(interleave(prepared, first)),
                2 => Interleaved::Two(interleave(prepared, first)),
                _ => Interleaved::Four(interleave(prepared, first)),
            },
            pose_runs: prepared.pose_runs.clone(),
            joints: prepared.transforms[first..first + n]
                .iter()
                .map(|t| t.iter().map(joint).collect())
                .collect(),
            translations: prepared.translations[first..first + n].to_vec(),
        }
    }

    fn block(
        &self,
        model: &BodyModel,
        level: Level,
        at: usize,
        weights: &[&[VertexWeight]],
        out: &mut [&mut [[f32; 3]]],
        part: Range<usize>,
    ) {
        fn offsets<const NF: usize>(
            model: &BodyModel,
            level: Level,
            at: usize,
            [betas, expression, features]: &[Vec<[f32; NF]>; 3],
            pose_runs: &[Range<usize>],
        ) -> [Block; NF] {
            let mut offsets = [model.template[at]; NF];
            let shape = Term { directions: model.shape.of_block(at), coefficients: betas };
            let expression = Term { directions: model.expression.of_block(at), coefficients: expression };
            add_few(level, &[shape, expression], &mut offsets);
            let pose = model.pose.of_block(at);
            for run in pose_runs {
                let (directions, coefficients) = (&pose[run.clone()], &features[run.clone()]);
                add_few(level, &[Term { directions, coefficients }], &mut offsets);
            }
            offsets
        }
        let mut skin = |offsets: &[Block]| {
            for (i, offsets) in offsets.iter().enumerate() {
                let out = &mut out[self.first + i][part.clone()];
                skin_few(level, weights, &self.joints[i], self.translations[i], offsets, out);
            }
        };
        match &self.coefficients {
            Interleaved::One(c) => skin(&offsets(model, level, at, c, &self.pose_runs)),
            Interleaved::Two(c) => skin(&offsets(model, level, at, c, &self.pose_runs)),
            Interleaved::Four(c) => skin(&offsets(model, level, at, c, &self.pose_runs)),
        }
    }
}

/// Many frames, in lanes of 16 for the loop that multiplies each element of the tables with them.
struct ManyFrames {
    n_lanes: usize,
    /// Shape and expression: one frame's coefficients where all frames share them, else a panel.
    shape: ShapeTerm,
    features: Vec<Lane>,
    pose_runs: Vec<Range<usize>>,
    joints: Vec<Lane>,
    translations: Vec<Lane>,
}

enum ShapeTerm {
    Shared([Vec<[f32; 1]>; 2]),
    Own([Vec<Lane>; 2]),
}

impl ManyFrames {
    fn new(prepared: &Prepared<'_>, n: usize) -> Self {
        let n_lanes = n.div_ceil(LANES);
        let panel = |n_columns: usize, at: &dyn Fn(usize, usize) -> f32| {
            let mut panel = vec![Lane::ZERO; n_columns * n_lanes];
            for (column, lanes) in panel.chunks_exact_mut(n_lanes).enumerate() {
                for frame in 0..n {
                    lanes[frame / LANES].0[frame % LANES] = at(frame, column);
                }
            }
            panel
        };
        let ragged = |table: &[&[f32]]| {
            let n_columns = table.iter().map(|f| f.len()).max().unwrap_or(0);
            panel(n_columns, &|frame, column| table[frame].get(column).copied().unwrap_or(0.0))
        };
        let shape = if prepared.same_shape {
            let tables = [prepared.betas[0], prepared.expressions[0]];
            ShapeTerm::Shared(tables.map(|t| t.iter().map(|c| [*c]).collect()))
        } else {
            ShapeTerm::Own([ragged(&prepared.betas[..n]), ragged(&prepared.expressions[..n])])
        };
        Self {
            n_lanes,
            shape,
            features: panel(prepared.features[0].len(), &|frame, column| prepared.features[frame][column]),
            pose_runs: prepared.pose_runs.clone(),
            joints: panel(N_JOINTS * 12, &|frame, column| {
                prepared.transforms[frame][column / 12].as_flattened()[column % 12]
            }),
            translations: panel(3, &|frame, axis| prepared.translations[frame][axis]),
        }
    }

    /// The posed block as `[48 rows][lane]`.
    fn block(
        &self,
        model: &BodyModel,
        level: Level,
        at: usize,
        weights: &[&[VertexWeight]],
        offsets: &mut Vec<Lane>,
    ) {
        let mut base = [model.template[at]];
        let (pose, n) = (model.pose.of_block(at), self.n_lanes);
        let pose = self.pose_runs.iter().map(|run| PanelTerm {
            directions: &pose[run.clone()],
            panel: &self.features[run.start * n..run.end * n],
        });
        let [shape, expression] = [&model.shape, &model.expression].map(|table| table.of_block(at));
        if let ShapeTerm::Shared([betas, expressions]) = &self.shape {
            let terms = [
                Term { directions: shape, coefficients: betas },
                Term { directions: expression, coefficients: expressions },
            ];
            add_few(level, &terms, &mut base);
        }
        offsets.clear();
        let rows: &[f32] = bytemuck::cast_slice(&base);
        offsets.extend(rows.iter().flat_map(|x| std::iter::repeat_n(Lane([*x; LANES]), self.n_lanes)));
        if let ShapeTerm::Own([betas, expressions]) = &self.shape {
            let shape = PanelTerm { directions: shape, panel: betas };
            let expression = PanelTerm { directions: expression, panel: expressions };
            add_many(level, n, &[shape, expression], offsets);
        }
        for term in pose {
            add_many(level, n, &[term], offsets);
        }
        let panel = Panel { n_lanes: self.n_lanes, joints: &self.joints, translations: &self.translations };
        skin_many(level, weights, &panel, offsets);
    }

    /// Copies a block's rows to the frames' vertices.
    fn write(&self, offsets: &[Lane], out: &mut [&mut [[f32; 3]]], part: Range<usize>) {
        for (frame, out) in out.iter_mut().enumerate() {
            let (lane, at) = (frame / LANES, frame % LANES);
            let rows = offsets[lane..].iter().step_by(self.n_lanes);
            for (value, row) in out[part.clone()].as_flattened_mut().iter_mut().zip(rows) {
                *value = row.0[at];
            }
        }
    }
}

#[cfg(test)]
mod tests;
