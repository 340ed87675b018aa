//! Presets for weights that were distilled to a few steps: what their authors run them with, as data.

use crate::{FlowMatch, Result, SolverKind, TimestepRounding};

/// A LoRA that belongs to a preset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraRole {
    /// What it is and how its published file is called.
    pub what: &'static str,
    /// What its change is multiplied by.
    pub strength: f64,
}

/// How a family of distilled weights is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FewStep {
    /// The name that users type.
    pub name: &'static str,
    /// The LoRAs that make the base model a few-step one, in the order in which they are named.
    pub loras: &'static [LoraRole],
    /// Guidance scale; 1 leaves the negative branch out.
    pub cfg_scale: f64,
    /// Timestep shift, which the noise levels already contain.
    pub shift: f64,
    /// Noise levels, one a step; the last step lands at 0.
    pub sigmas: &'static [f32],
    /// Solver.
    pub solver: SolverKind,
    /// How σ · 1000 is rounded before the model is told.
    pub rounding: TimestepRounding,
    /// Where the numbers come from.
    pub source: &'static str,
}

impl FewStep {
    /// Every preset.
    pub const ALL: [Self; 4] = [
        Self {
            name: "lightx2v",
            loras: &[LoraRole {
                what: "LightX2V's step and guidance distillation (wan2.1_i2v_lora_rank64_lightx2v_4step.safetensors)",
                strength: 1.0,
            }],
            cfg_scale: 1.0,
            shift: 5.0,
            sigmas: &[1.0, 0.9375, 0.833_333_3, 0.625],
            solver: SolverKind::Euler,
            rounding: TimestepRounding::None,
            source: "ModelTC/LightX2V, WanStepDistillScheduler and configs/distill/wan21/wan_i2v_distill_lora_4step_cfg.json \
                     (commit f8aee98): steps 1000, 750, 500, 250 of 1000, shifted; f32 throughout",
        },
        Self {
            name: "longlive",
            loras: &[
                LoraRole { what: "the step-distillation LoRA", strength: 1.0 },
                LoraRole { what: "LongLive's LoRA", strength: 0.5 },
            ],
            cfg_scale: 1.0,
            shift: 5.0,
            sigmas: &[0.999_799_85, 0.937_265_46, 0.833_055_4, 0.624_687_4],
            solver: SolverKind::UniPc,
            rounding: TimestepRounding::Truncate,
            source: "Wan-Video/Wan2.1, FlowUniPCMultistepScheduler of order 2 at 4 steps, shift 5 \
                     (wan/utils/fm_solvers_unipc.py, commit 9737cba)",
        },
        Self {
            name: "causvid",
            loras: &[LoraRole { what: "CausVid's LoRA for the 14B model", strength: 1.0 }],
            cfg_scale: 1.0,
            shift: 8.0,
            sigmas: &[0.999, 0.934, 0.862, 0.756, 0.603, 0.41, 0.25, 0.14, 0.074],
            solver: SolverKind::Euler,
            rounding: TimestepRounding::Nearest,
            source: "the denoising list of CausVid's 14B model (timesteps 999 … 74 at shift 8), stepped as \
                     kijai/ComfyUI-WanVideoWrapper's flowmatch_causvid does",
        },
        Self {
            name: "lcm",
            loras: &[LoraRole { what: "a LoRA distilled by consistency", strength: 1.0 }],
            cfg_scale: 1.0,
            shift: 5.0,
            sigmas: &[1.0, 0.9375, 0.833_333_3, 0.625],
            solver: SolverKind::Lcm,
            rounding: TimestepRounding::None,
            source: "the rule of latent consistency models (arXiv 2310.04378) on the shifted schedule at 4 steps",
        },
    ];

    /// The preset of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        const ALL: &[FewStep] = &FewStep::ALL;
        ALL.iter().find(|preset| preset.name == name)
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.sigmas.len()
    }

    /// The schedule, timesteps rounded.
    ///
    /// # Errors
    /// Never for the presets of [`FewStep::ALL`].
    pub fn schedule(&self) -> Result<FlowMatch> {
        Ok(FlowMatch::from_sigmas(self.sigmas.to_vec())?.rounded(self.rounding))
    }
}

/// Does a LoRA file's name say that it distils a model to few steps? Names are all that there is to go by before it is opened.
#[must_use]
pub fn looks_distilled(file_name: &str) -> bool {
    const SIGNS: [&str; 15] = [
        "lightx2v",
        "lightning",
        "distill",
        "causvid",
        "longlive",
        "self_forcing",
        "selfforcing",
        "self-forcing",
        "accvid",
        "fastwan",
        "turbo",
        "lcm",
        "dmd",
        "rcm",
        "hyper",
    ];
    let name = file_name.to_lowercase();
    let steps = ["2step", "4step", "6step", "8step", "4-step", "8-step", "4_step", "8_step"];
    SIGNS.iter().chain(&steps).any(|sign| name.contains(sign))
}
