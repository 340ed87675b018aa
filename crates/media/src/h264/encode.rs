//! Encoding H.264 with OpenH264: constant quality, no frame left out, BT.709.

use super::avcc::AvcConfig;
use crate::color::Yuv420Buffer;
use openh264::OpenH264API;
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate as EncoderRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;

/// Finest quantiser that the encoder keeps to (`GOM_MIN_QP_MODE` of its rate control).
pub(crate) const MIN_QP: u8 = 12;

/// A coded frame: NAL units with four-byte lengths in front.
#[derive(Debug)]
pub(crate) struct Coded<'a> {
    pub(crate) sample: &'a [u8],
    pub(crate) sync: bool,
}

/// An encoder and the parameter sets it has announced.
pub(crate) struct H264Encoder {
    encoder: Encoder,
    config: AvcConfig,
    sample: Vec<u8>,
}

impl std::fmt::Debug for H264Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl H264Encoder {
    /// Every frame is coded with the quantiser `qp` ([`MIN_QP`] to 51); decoding can start every `interval` frames.
    ///
    /// The quantiser is fixed by giving rate control a range of one value (the encoder still goes up to 2 higher at
    /// a scene change). With rate control switched off, it would code key frames with quantiser 26 whatever is
    /// asked; the modes that follow a bit rate warn on the standard error output when they may not leave frames
    /// out, and leaving frames out must not be.
    pub(crate) fn new(qp: u8, frames_per_second: f64, interval: u32) -> Result<Self, openh264::Error> {
        let qp = qp.clamp(MIN_QP, 51);
        let config = EncoderConfig::new()
            .rate_control_mode(RateControlMode::Bufferbased)
            .qp(QpRange::new(qp, qp))
            .skip_frames(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .scene_change_detect(true)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .max_frame_rate(EncoderRate::from_hz(frames_per_second.clamp(1.0, 60.0) as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(interval))
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        let config = AvcConfig { length_size: 4, sps: Vec::new(), pps: Vec::new() };
        Ok(Self { encoder, config, sample: Vec::new() })
    }

    /// Codes one picture. None where the encoder left it out, which must not happen.
    pub(crate) fn encode(&mut self, picture: &Yuv420Buffer) -> Result<Option<Coded<'_>>, openh264::Error> {
        let stream = self.encoder.encode(&Source(picture))?;
        let sync = matches!(stream.frame_type(), FrameType::IDR);
        self.sample.clear();
        for layer in (0..stream.num_layers()).filter_map(|i| stream.layer(i)) {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                let unit = without_start_code(unit);
                match unit.first().map_or(0, |b| b & 31) {
                    7 => remember(&mut self.config.sps, unit),
                    8 => remember(&mut self.config.pps, unit),
                    _ => {
                        self.sample.extend((unit.len() as u32).to_be_bytes());
                        self.sample.extend(unit);
                    }
                }
            }
        }
        Ok((!self.sample.is_empty()).then_some(Coded { sample: &self.sample, sync }))
    }

    /// The parameter sets of all frames coded so far.
    pub(crate) fn config(&self) -> &AvcConfig {
        &self.config
    }
}

fn remember(units: &mut Vec<Vec<u8>>, unit: &[u8]) {
    if !units.iter().any(|u| u == unit) {
        units.push(unit.to_vec());
    }
}

fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|&&b| b == 0).count();
    match unit.get(zeros) {
        Some(1) if zeros >= 2 => &unit[zeros + 1..],
        _ => unit,
    }
}

struct Source<'a>(&'a Yuv420Buffer);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width, self.0.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.width, self.0.width / 2, self.0.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.0.y
    }

    fn u(&self) -> &[u8] {
        &self.0.u
    }

    fn v(&self) -> &[u8] {
        &self.0.v
    }
}
