//! Compares two videos or folders of pictures; without arguments, two clips that it makes itself.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_evaluation::{Error, evaluate, to_table};
use image::{GrayImage, Rgb, RgbImage};
use media::VideoReader;

fn main() -> Result<(), Error> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let scores = match files.as_slice() {
        [] => {
            // A square that moves over grey, and the same one with a little noise around it.
            let clip = |noise: u32| {
                (0..8_u32).map(move |t| {
                    let pixel = |x: u32, y: u32| {
                        let square = (x.wrapping_sub(8 + 2 * t)) < 16 && (16..32).contains(&y);
                        let level = if square { 200 } else { 90 + (x * 7 + y * 13 + t) % (noise + 1) };
                        Rgb([level as u8; 3])
                    };
                    Ok::<_, Error>(RgbImage::from_fn(64, 48, pixel))
                })
            };
            let mask = (0..8_u32).map(|t| {
                let inside = |x: u32, y: u32| (x.wrapping_sub(8 + 2 * t)) < 16 && (16..32).contains(&y);
                Ok(GrayImage::from_fn(64, 48, |x, y| image::Luma([if inside(x, y) { 255 } else { 0 }])))
            });
            evaluate(clip(20), clip(0), Some(mask), 2, &[])?
        }
        [a, b, rest @ ..] => {
            let open = |path: &String| -> Result<_, Error> {
                Ok(VideoReader::open(path)?.map(|frame| Ok::<_, Error>(frame?)))
            };
            let masks = match rest.first() {
                Some(path) => Some(open(path)?.map(|frame| {
                    let frame = frame?;
                    Ok(GrayImage::from_fn(frame.width(), frame.height(), |x, y| {
                        image::Luma([frame.get_pixel(x, y)[0]])
                    }))
                })),
                None => None,
            };
            evaluate(open(a)?, open(b)?, masks, 6, &[])?
        }
        [_] => {
            println!("usage: compare [A B [MASK]]");
            return Ok(());
        }
    };
    print!("{}", to_table(&scores));
    Ok(())
}
