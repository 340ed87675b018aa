//! Decoding H.264 with OpenH264, frames in presentation order.

use crate::color::Yuv420;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

/// A decoder that hands each finished picture to a callback.
///
/// With B-frames the decoder holds pictures back until their turn comes. So it must not be flushed after each
/// frame (its wrapper's default, which loses pictures), only once at the end.
pub(crate) struct H264Decoder(Decoder);

impl std::fmt::Debug for H264Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("H264Decoder")
    }
}

impl H264Decoder {
    pub(crate) fn new() -> Result<Self, openh264::Error> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        Decoder::with_api_config(OpenH264API::from_source(), config).map(Self)
    }

    /// Decodes one access unit (with start codes); calls `picture` if one is due.
    pub(crate) fn decode(
        &mut self,
        access_unit: &[u8],
        mut picture: impl FnMut(Yuv420<'_>),
    ) -> Result<(), openh264::Error> {
        if let Some(yuv) = self.0.decode(access_unit)? {
            picture(borrow(&yuv));
        }
        Ok(())
    }

    /// Hands out the pictures that are still held back.
    pub(crate) fn finish(&mut self, mut picture: impl FnMut(Yuv420<'_>)) -> Result<(), openh264::Error> {
        for yuv in self.0.flush_remaining()? {
            picture(borrow(&yuv));
        }
        Ok(())
    }
}

/// A decoder's error in words: its states are single bits.
pub(crate) fn explain(error: &openh264::Error) -> String {
    const STATES: [(i64, &str); 7] = [
        (1, "a frame is pending"),
        (2, "a reference frame is missing"),
        (4, "the data is damaged"),
        (8, "a layer is missing"),
        (16, "parameter sets are missing"),
        (32, "errors were concealed"),
        (0x4000, "out of memory"),
    ];
    let code = error.native_code();
    let states: Vec<&str> = STATES.iter().filter(|s| code & s.0 != 0).map(|s| s.1).collect();
    if states.is_empty() { format!("the decoder's error {code:#x}") } else { states.join(", ") }
}

fn borrow<'a>(yuv: &'a DecodedYUV<'_>) -> Yuv420<'a> {
    let (width, height) = yuv.dimensions();
    let (y, u, v) = yuv.strides();
    Yuv420 { planes: [yuv.y(), yuv.u(), yuv.v()], strides: [y, u, v], width, height }
}
