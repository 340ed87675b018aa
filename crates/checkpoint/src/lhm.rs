//! LHM's files in a folder: the network, Sapiens, and what stands on the body.
//!
//! People have them as the original's download script lays them out (`pretrained_models/`), as a hub's cache, or loose. They are
//! known by what they hold, not by where they lie.

use crate::keys::Model;
use crate::{Checkpoint, Error, Manifest, Report, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tensorfile::{Dtype, TensorInfo, write_safetensors_with, write_torch_with};

/// Endings of files that may hold the network or Sapiens.
const WEIGHTS: [&str; 7] = ["safetensors", "pt2", "pt", "pth", "bin", "ckpt", "index.json"];
/// Deepest folder below the one that is named, and most files that are looked at.
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 20_000;

/// What a folder holds of LHM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LhmFiles {
    /// Files with the network's tensors.
    pub models: Vec<PathBuf>,
    /// Files with Sapiens' encoder.
    pub sapiens: Vec<PathBuf>,
    /// `SMPLX_NEUTRAL.npz`.
    pub bodies: Vec<PathBuf>,
    /// `1_<N>.ply` with their N.
    pub points: Vec<(usize, PathBuf)>,
    /// Weight files that can't be read, and why: half a download, say.
    pub broken: Vec<(PathBuf, String)>,
}

impl LhmFiles {
    /// Looks through a folder and what lies below it, links included. Headers are read, no tensors.
    ///
    /// # Errors
    /// When the folder itself can't be read.
    pub fn find(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        if folder.is_file() {
            found.look_at(folder);
            return Ok(found);
        }
        let mut files = Vec::new();
        walk(folder, 0, &mut BTreeSet::new(), &mut files)
            .map_err(|e| Error::Io { path: folder.to_owned(), message: e.to_string() })?;
        files.sort();
        // One file under several names, as a hub's cache has it, counts once: the links are met before or after their target.
        let mut seen = BTreeSet::new();
        for file in files {
            let named = file.extension().is_some();
            if named && seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                found.look_at(&file);
            }
        }
        Ok(found)
    }

    /// Is there anything of LHM's network?
    #[must_use]
    pub fn has_model(&self) -> bool {
        !self.models.is_empty()
    }

    fn look_at(&mut self, file: &Path) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if name.starts_with('.') {
            return;
        }
        if name == "smplx_neutral.npz" {
            self.bodies.push(file.to_owned());
        } else if let Some(n) = name.strip_prefix("1_").and_then(|n| n.strip_suffix(".ply")?.parse().ok()) {
            self.points.push((n, file.to_owned()));
        } else if WEIGHTS.iter().any(|ending| name.ends_with(&format!(".{ending}"))) {
            // Shards of an index are met through it.
            if !name.ends_with(".json") && name.contains("-of-") && is_shard(&name) {
                return;
            }
            match crate::open_tensors(&[file]) {
                Ok(tensors) => {
                    let names = tensors.names();
                    let has =
                        |marks: &[&str]| marks.iter().any(|mark| names.iter().any(|n| n.ends_with(mark)));
                    if has(&["transformer.linear_cond_proj.weight", "renderer.mlp_net.layers.0.weight"]) {
                        self.models.push(file.to_owned());
                    } else if has(&["patch_embed.projection.weight", "backbone.pos_embed"]) {
                        self.sapiens.push(file.to_owned());
                    }
                }
                Err(error) => self.broken.push((file.to_owned(), error.to_string())),
            }
        }
    }
}

fn is_shard(name: &str) -> bool {
    name.rsplit_once("-of-").is_some_and(|(stem, rest)| {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count() > 0;
        digits(rest) && stem.rsplit_once('-').is_some_and(|(_, number)| digits(number))
    })
}

fn walk(
    folder: &Path,
    depth: usize,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    if depth > MAX_DEPTH || !seen.insert(folder.canonicalize()?) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if files.len() >= MAX_FILES {
            return Ok(());
        }
        if path.is_dir() {
            // A subfolder that can't be read holds nothing that could be used.
            let _ = walk(&path, depth + 1, seen, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Opens LHM's network or Sapiens and compares it with its manifest: every missing, unused or mis-shaped tensor is named, the
/// groups that nobody needs (the body's buffers, the training's face loss) are put aside.
///
/// # Errors
/// When the file can't be read or holds no such model; [`Error::Mismatch`] with the report.
pub fn open_strictly(
    model: Model,
    config: &Value,
    paths: &[impl AsRef<Path>],
) -> Result<(Checkpoint, Report)> {
    let checkpoint = Checkpoint::open_model(model, paths)?;
    let report = checkpoint.compare(&Manifest::of(model, config)?).strict()?;
    Ok((checkpoint, report))
}

/// Writes LHM's files with real names and shapes and, but for the small ones, nothing in them: sparse, some megabytes of disk.
/// They are laid out as the original's download script does it; `config` is the flat configuration with `encoder` and
/// `fine_encoder` in it.
///
/// # Errors
/// When the configuration lacks a number or a file can't be written.
pub fn write_lhm_skeleton(folder: impl AsRef<Path>, config: &Value) -> Result<()> {
    let folder = folder.as_ref();
    let write = |file: &str, model: Model, config: &Value, more: &[(&str, TensorInfo)]| {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder).to_owned();
        std::fs::create_dir_all(&parent).map_err(|e| Error::Io { path: parent, message: e.to_string() })?;
        let manifest = Manifest::of(model, config)?;
        let info = |shape: &Vec<usize>| TensorInfo { dtype: Dtype::F32, shape: shape.clone() };
        let mut tensors: Vec<(&str, TensorInfo)> =
            manifest.tensors.iter().map(|(name, shape)| (name.as_str(), info(shape))).collect();
        tensors.extend_from_slice(more);
        let fill = |name: &str, info: &TensorInfo| {
            let small = info.dtype == Dtype::F32 && info.len() <= crate::skeleton::SMALL;
            Ok(small.then(|| crate::skeleton::random(name, info, 0).into()))
        };
        if file.ends_with(".safetensors") {
            write_safetensors_with(path, &tensors, &Default::default(), fill)?;
        } else {
            write_torch_with(path, &tensors, fill)?;
        }
        Result::Ok(())
    };
    let n = config["dense_sample_pts"].as_u64().unwrap_or(0) as usize;
    let info = |dtype, shape: &[usize]| TensorInfo { dtype, shape: shape.to_vec() };
    // One of each kind of what the published file holds besides.
    let besides = [
        ("renderer.smplx_model.is_upper_body", info(Dtype::Bool, &[n])),
        ("renderer.smplx_model.skinning_weight", info(Dtype::F32, &[n, 55])),
        ("renderer.smplx_model.voxel_ws", info(Dtype::F32, &[55, 96, 192, 192])),
        ("renderer.smplx_model.smplx_layer.faces_tensor", info(Dtype::I64, &[20908, 3])),
        ("id_face_net.fc5.weight", info(Dtype::F32, &[512, 32768])),
        ("pcl_embed.basis", info(Dtype::F32, &[3, 24])),
    ];
    let model = "huggingface/models--3DAIGC--LHM/snapshots/main";
    write(&format!("{model}/model.safetensors"), Model::Lhm, config, &besides)?;
    let text = serde_json::to_string_pretty(config).unwrap_or_default();
    let path = folder.join(model).join("config.json");
    std::fs::write(&path, text).map_err(|e| Error::Io { path, message: e.to_string() })?;
    let sapiens = "sapiens/pretrained/checkpoints/sapiens_1b/sapiens_1b_epoch_173_torchscript.pt2";
    write(sapiens, Model::Sapiens, &config["fine_encoder"], &[])
}
