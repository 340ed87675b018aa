//! Where each layout keeps which file, and how it spells the tensors.

use super::{Layout, SMALL, Skeleton, Tensors, random, tokenizer};
use crate::keys::spell;
use crate::{Error, Model, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tensorfile::gguf::GgufValue;
use tensorfile::{Dtype, TensorInfo, write_gguf_with, write_safetensors_with, write_torch_with};

/// Tensors by which other libraries' spellings are known.
const DIFFUSERS_DIT: &str = "condition_embedder.time_embedder.linear_1.weight";
const DIFFUSERS_VAE: &str = "decoder.conv_in.weight";
const TRANSFORMERS_T5: &str = "shared.weight";
const LLAMA_CPP_T5: &str = "token_embd.weight";
const TRANSFORMERS_CLIP: &str = "vision_model.embeddings.class_embedding";

/// `stem-00001-of-00007.safetensors`.
pub(super) fn shard(stem: &str, number: usize, total: usize) -> String {
    format!("{stem}-{number:05}-of-{total:05}.safetensors")
}

pub(super) struct Writer<'a> {
    pub(super) folder: &'a Path,
    pub(super) skeleton: &'a Skeleton,
}

impl Writer<'_> {
    pub(super) fn dit(&self, tensors: Tensors) -> Result<()> {
        let dtype = self.skeleton.dit;
        match self.skeleton.layout {
            Layout::Published => self.sharded("diffusion_pytorch_model", 7, &typed(tensors, dtype)),
            Layout::ComfyUi => self
                .safetensors("diffusion_models/wan2.1_i2v_720p_14B_bf16.safetensors", &typed(tensors, dtype)),
            Layout::Diffusers => {
                let tensors = typed(respelt(Model::Dit, DIFFUSERS_DIT, tensors), dtype);
                self.sharded("transformer/diffusion_pytorch_model", 14, &tensors)
            }
            Layout::Gguf => {
                let path = "unet/wan2.1-i2v-14b-720p-Q8_0.gguf";
                self.gguf(path, "wan", |name| name.starts_with("blocks."), tensors)
            }
        }
    }

    pub(super) fn vae(&self, tensors: Tensors) -> Result<()> {
        match self.skeleton.layout {
            Layout::Published => self.torch("Wan2.1_VAE.pth", &typed(tensors, Dtype::F32)),
            Layout::ComfyUi | Layout::Gguf => {
                self.safetensors("vae/wan_2.1_vae.safetensors", &typed(tensors, Dtype::BF16))
            }
            Layout::Diffusers => {
                let tensors = respelt(Model::Vae, DIFFUSERS_VAE, tensors);
                self.safetensors("vae/diffusion_pytorch_model.safetensors", &typed(tensors, Dtype::F32))
            }
        }
    }

    pub(super) fn text(&self, tensors: Tensors) -> Result<()> {
        match self.skeleton.layout {
            Layout::Published => {
                self.tokenizer("google/umt5-xxl")?;
                self.torch("models_t5_umt5-xxl-enc-bf16.pth", &typed(tensors, Dtype::BF16))
            }
            Layout::ComfyUi => {
                let mut tensors = typed(respelt(Model::T5, TRANSFORMERS_T5, tensors), Dtype::F16);
                let shape = vec![tokenizer::toy().len()];
                tensors.push(("spiece_model".to_owned(), TensorInfo { dtype: Dtype::U8, shape }));
                self.safetensors("text_encoders/umt5_xxl_fp16.safetensors", &tensors)
            }
            Layout::Diffusers => {
                self.tokenizer("tokenizer")?;
                let tensors = typed(respelt(Model::T5, TRANSFORMERS_T5, tensors), Dtype::F32);
                self.sharded("text_encoder/model", 5, &tensors)
            }
            Layout::Gguf => {
                self.tokenizer("text_encoders/umt5-xxl")?;
                let tensors = respelt(Model::T5, LLAMA_CPP_T5, tensors);
                let path = "clip/umt5-xxl-encoder-Q8_0.gguf";
                self.gguf(path, "t5encoder", |name| !name.contains("rel_b"), tensors)
            }
        }
    }

    pub(super) fn image(&self, mut tensors: Tensors) -> Result<()> {
        let (path, dtype) = match self.skeleton.layout {
            Layout::Published => {
                let path = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";
                return self.torch(path, &typed(tensors, Dtype::F32));
            }
            Layout::ComfyUi | Layout::Gguf => ("clip_vision/clip_vision_h.safetensors", Dtype::F16),
            Layout::Diffusers => ("image_encoder/model.safetensors", Dtype::F32),
        };
        // transformers keeps the image tower alone.
        tensors.retain(|(name, _)| name.starts_with("visual.") && name != "visual.head");
        self.safetensors(path, &typed(respelt(Model::Clip, TRANSFORMERS_CLIP, tensors), dtype))
    }

    fn path(&self, file: &str) -> Result<PathBuf> {
        let path = self.folder.join(file);
        let folder = path.parent().unwrap_or(self.folder).to_owned();
        std::fs::create_dir_all(&folder).map_err(|e| Error::Io { path: folder, message: e.to_string() })?;
        Ok(path)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(file)?;
        std::fs::write(&path, bytes).map_err(|e| Error::Io { path, message: e.to_string() })
    }

    fn tokenizer(&self, folder: &str) -> Result<()> {
        self.write(&format!("{folder}/spiece.model"), &tokenizer::toy())
    }

    fn fill<'b>(&self, name: &str, info: &TensorInfo) -> tensorfile::Result<Option<Cow<'b, [u8]>>> {
        if name == "spiece_model" {
            return Ok(Some(Cow::Owned(tokenizer::toy())));
        }
        let block =
            name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let wanted = block.is_some_and(|b| self.skeleton.blocks.contains(&b)) || info.len() <= SMALL;
        let dense = matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
        Ok((wanted && dense).then(|| Cow::Owned(random(name, info, self.skeleton.seed))))
    }

    pub(super) fn safetensors(&self, file: &str, tensors: &[(String, TensorInfo)]) -> Result<()> {
        let path = self.path(file)?;
        let fill = |name: &str, info: &TensorInfo| self.fill(name, info);
        Ok(write_safetensors_with(path, &borrowed(tensors), &BTreeMap::new(), fill)?)
    }

    fn torch(&self, file: &str, tensors: &[(String, TensorInfo)]) -> Result<()> {
        let path = self.path(file)?;
        Ok(write_torch_with(path, &borrowed(tensors), |name: &str, info: &TensorInfo| self.fill(name, info))?)
    }

    /// A series of safetensors with its index.
    fn sharded(&self, stem: &str, count: usize, tensors: &[(String, TensorInfo)]) -> Result<()> {
        let mut map = BTreeMap::new();
        let name = stem.rsplit('/').next().unwrap_or(stem);
        for (number, part) in tensors.chunks(tensors.len().div_ceil(count).max(1)).enumerate() {
            self.safetensors(&shard(stem, number + 1, count), part)?;
            map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), shard(name, number + 1, count))));
        }
        let bytes = tensors.iter().filter_map(|(_, i)| i.dtype.bytes_for(i.len())).map(|n| n as u64);
        let index =
            serde_json::json!({ "metadata": { "total_size": bytes.sum::<u64>() }, "weight_map": map });
        self.write(&format!("{stem}.safetensors.index.json"), index.to_string().as_bytes())
    }

    /// Matrices whose names `quantised` takes and whose rows are whole blocks as Q8_0, everything else in F32.
    fn gguf(
        &self,
        file: &str,
        architecture: &str,
        quantised: impl Fn(&str) -> bool,
        tensors: Tensors,
    ) -> Result<()> {
        let kind = |name: &str, shape: &[usize]| {
            let matrix = shape.len() == 2 && shape[1].is_multiple_of(32) && !name.contains("norm");
            if matrix && quantised(name) { Dtype::Q8_0 } else { Dtype::F32 }
        };
        let tensors: Vec<(String, TensorInfo)> = tensors
            .into_iter()
            .map(|(name, shape)| {
                let dtype = kind(&name, &shape);
                (name, TensorInfo { dtype, shape })
            })
            .collect();
        let metadata = [("general.architecture", GgufValue::Text(architecture.to_owned()))];
        let path = self.path(file)?;
        let fill = |name: &str, info: &TensorInfo| self.fill(name, info);
        Ok(write_gguf_with(path, &metadata, &borrowed(&tensors), fill)?)
    }
}

fn typed(tensors: Tensors, dtype: Dtype) -> Vec<(String, TensorInfo)> {
    tensors.into_iter().map(|(name, shape)| (name, TensorInfo { dtype, shape })).collect()
}

/// The tensors under another library's names; what it keeps in parts is cut into them.
fn respelt(model: Model, anchor: &str, tensors: Tensors) -> Tensors {
    let mut out = Vec::new();
    for (own, mut shape) in tensors {
        let names = spell(model, anchor, &own);
        if names.len() > 1 {
            shape[0] /= names.len();
        }
        out.extend(names.into_iter().map(|name| (name, shape.clone())));
    }
    out
}

fn borrowed(tensors: &[(String, TensorInfo)]) -> Vec<(&str, TensorInfo)> {
    tensors.iter().map(|(name, info)| (name.as_str(), info.clone())).collect()
}
