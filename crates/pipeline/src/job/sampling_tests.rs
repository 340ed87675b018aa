//! Tests of the sampling settings: presets, lists, guidance, advice.

use crate::Error;
use crate::job::{
    Dtype, FewStepName, Job, JobChanges, Lora, ModelChanges, Sampling, SamplingChanges, SolverName,
    StepCacheSettings,
};
use sampler::FewStep;

fn read(sampling: &str) -> Result<Job, toml::de::Error> {
    toml::from_str(&format!("[models]\npreset = \"anicrafter\"\n[sampling]\n{sampling}"))
}

#[test]
fn a_preset_needs_one_line_in_a_file() {
    let job = read("few_step = \"longlive\"\nseed = 3\n").unwrap();
    let sampling = &job.sampling;
    assert_eq!((sampling.steps, sampling.cfg_scale, sampling.seed), (4, 1.0, 3));
    assert_eq!(sampling.schedule().unwrap().timesteps(), [999.0, 937.0, 833.0, 624.0]);
    assert!(!sampling.bf16_timestep && !sampling.bf16_latents && sampling.solver == SolverName::UniPc);
    sampling.validate().unwrap();
    let again: Job = toml::from_str(&toml::to_string(&job).unwrap()).unwrap();
    assert_eq!(again, job);
    // Another number of steps stands for the plain schedule, at the preset's shift.
    let eight = read("few_step = \"lightx2v\"\nsteps = 8\n").unwrap().sampling;
    assert_eq!((eight.schedule().unwrap().len(), eight.shift), (8, 5.0));
    assert!(read("few_step = \"fast\"\n").unwrap_err().to_string().contains("lightx2v"));
}

#[test]
fn every_preset_has_its_name() {
    let names = [FewStepName::LightX2V, FewStepName::LongLive, FewStepName::CausVid, FewStepName::Lcm];
    assert_eq!(names.len(), FewStep::ALL.len());
    for name in names {
        let text = toml::Value::try_from(name).unwrap();
        assert_eq!(text.as_str(), Some(name.preset().name));
        let mut sampling = Sampling { seed: 9, ..Sampling::reference() };
        sampling.use_few_step(name);
        sampling.validate().unwrap();
        assert_eq!(sampling.schedule().unwrap(), name.preset().schedule().unwrap());
        assert_eq!(sampling.seed, 9);
    }
}

#[test]
fn loras_are_as_strong_as_the_preset_says_unless_it_is_said() {
    let loras = |text: &str| -> Vec<f64> {
        let text = format!(
            "{text}\n[models]\npreset = \"anicrafter\"\nlora = [{{ path = \"a\" }}, {{ path = \"b\" }}]"
        );
        let job: Job = toml::from_str(&text).unwrap();
        job.models.lora.iter().map(Lora::strength).collect()
    };
    assert_eq!(loras("[sampling]\nfew_step = \"longlive\""), [1.0, 0.5]);
    assert_eq!(loras("[sampling]\nsteps = 20"), [1.0, 1.0]);
    // The command line's preset over a file's LoRAs, and a strength that is said.
    let mut job: Job =
        toml::from_str("models.lora = [{ path = \"a\" }, { path = \"b\", strength = 0.9 }]").unwrap();
    let sampling = SamplingChanges { few_step: Some(FewStepName::LongLive), ..SamplingChanges::default() };
    job.change(JobChanges { sampling, ..JobChanges::default() });
    assert_eq!(job.models.lora.iter().map(Lora::strength).collect::<Vec<_>>(), [1.0, 0.9]);
    // Neither weights' type nor device change what the preset rounds.
    let models = ModelChanges { dtype: Some(Dtype::Q8), ..ModelChanges::default() };
    job.change(JobChanges { models, ..JobChanges::default() });
    assert!(!job.sampling.bf16_latents && !job.sampling.bf16_timestep);
}

#[test]
fn lists_are_schedules() {
    let base = Sampling::reference();
    let told = Sampling { steps: 2, timesteps: Some(vec![900.0, 300.0]), ..base.clone() };
    let schedule = told.schedule().unwrap();
    assert_eq!((schedule.sigmas(), schedule.timesteps()), (&[0.9, 0.3][..], &[900.0, 300.0][..]));
    let both = Sampling { sigmas: Some(vec![0.95, 0.4]), ..told.clone() };
    assert_eq!(both.schedule().unwrap().sigmas(), [0.95, 0.4]);
    let refused = |sampling: Sampling| match sampling.validate() {
        Err(Error::Option { option, why }) => (option, why),
        other => panic!("{other:?}"),
    };
    let (option, why) = refused(Sampling { steps: 3, ..told.clone() });
    assert!(option == "sampling.timesteps" && why.contains("2 values for 3 steps"), "{why}");
    let (option, why) = refused(Sampling { sigmas: Some(vec![0.4, 0.95]), ..both });
    assert!(option == "sampling.sigmas" && why.contains("fall"), "{why}");
}

#[test]
fn guidance_has_an_interval() {
    let sampling = Sampling { guidance_interval: Some([0.3, 0.9].into()), ..Sampling::reference() };
    assert!(sampling.guides(0.3) && sampling.guides(0.9) && !sampling.guides(0.95));
    assert!(Sampling::reference().guides(1.0) && Sampling::reference().guides(0.01));
    let off = Sampling { cfg_scale: 1.0, ..sampling.clone() };
    assert!(!off.guides(0.5));
    for bad in [off, Sampling { guidance_interval: Some([0.9, 0.3].into()), ..sampling }] {
        assert!(matches!(bad.validate(), Err(Error::Option { option: "sampling.guidance_interval", .. })));
    }
}

#[test]
fn distilled_weights_with_guidance_are_warned_about() {
    let loras = ["Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors".to_owned()];
    let advice = Sampling::reference().advice(&loras);
    assert!(advice.len() == 2 && advice[0].contains("--cfg 1"), "{advice:?}");
    let mut few = Sampling::reference();
    few.use_few_step(FewStepName::LightX2V);
    assert!(few.advice(&loras).is_empty());
    assert!(few.advice(&[])[0].contains("LightX2V"));
    few.step_cache = Some(StepCacheSettings::default());
    assert!(few.advice(&loras)[0].contains("4 steps"));
}
