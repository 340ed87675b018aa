//! Every layer on a device against the CPU kernels in f32: `cargo run -p anicrafter-nn --features cuda --example on_device -- cuda:0`
//!
//! Prints ‖device − CPU‖ / ‖CPU‖ for each, and fails where it is larger than the type explains. A second argument, one of
//! linear, rows, attention and conv, runs that part alone.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_nn::conv3d::{
    ChannelNorm, Conv3d, ConvShape, Frames, Padding, Read, Storage, Window, Workspace,
};
use anicrafter_nn::{
    Activation, Attention, Grid, LayerNorm, Linear, Precision, RandomWeights, RmsNorm, Rope3d, WeightSource,
    Weights, add_gated,
};
use candle_core::{DType, Device, Result, Tensor};
use std::process::ExitCode;
use std::sync::Arc;

/// What rounding may do: sums of f32 in another order; factors and products rounded to bf16.
const SINGLE: f64 = 2e-5;
const HALF: f64 = 1e-2;

fn main() -> std::result::Result<ExitCode, Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("which device? cuda:N or metal")?;
    let mut table = Table { device: anicrafter_nn::open_device(&name)?, failed: 0 };
    type Part = fn(&mut Table) -> Result<()>;
    let parts: [(&str, Part); 4] =
        [("linear", linear), ("rows", rows), ("attention", attention), ("conv", conv)];
    let wanted = std::env::args().nth(2);
    for (_, run) in parts.iter().filter(|(part, _)| wanted.as_deref().is_none_or(|w| w == *part)) {
        run(&mut table)?;
    }
    println!("{name}: {} layers differ from the CPU", table.failed);
    Ok(if table.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Table {
    device: Device,
    failed: usize,
}

impl Table {
    /// Runs a layer in both places; an error on the device is a line too.
    fn compare(&mut self, name: &str, tolerance: f64, run: impl Fn(&Device) -> Result<Tensor>) -> Result<()> {
        let expected = run(&Device::Cpu)?;
        self.against(name, tolerance, &expected, run)
    }

    fn against(
        &mut self,
        name: &str,
        tolerance: f64,
        expected: &Tensor,
        run: impl Fn(&Device) -> Result<Tensor>,
    ) -> Result<()> {
        let distance = run(&self.device).and_then(|got| {
            let got = got.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
            let difference = (got - expected)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
            let length = expected.sqr()?.sum_all()?.to_scalar::<f32>()?;
            Ok(f64::from(difference / length.max(f32::MIN_POSITIVE)).sqrt())
        });
        let (text, good) = match distance {
            Ok(distance) => (format!("{distance:.2e}"), distance <= tolerance),
            Err(error) => (error.to_string(), false),
        };
        self.failed += usize::from(!good);
        println!("{} {name:<60} {text} (allowed {tolerance:.0e})", if good { "PASS" } else { "FAIL" });
        Ok(())
    }
}

fn random(name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
    let fan_in: usize = shape[1..].iter().product();
    let tensor = RandomWeights { seed: 5 }.dense(name, &shape.into(), DType::F32, &Device::Cpu)?;
    (tensor * (fan_in as f64).sqrt())?.to_device(device)
}

fn row(name: &str, d: usize, device: &Device) -> Result<Tensor> {
    random(name, &[1, d], device)?.squeeze(0)
}

fn linear(table: &mut Table) -> Result<()> {
    for (rows, d_in, d_out) in [(1, 64, 96), (300, 512, 130), (1000, 1536, 2048)] {
        for (dtype, tolerance) in [(DType::F32, SINGLE), (DType::BF16, HALF)] {
            for activation in [Activation::None, Activation::GeluTanh, Activation::GeluErf, Activation::Silu]
            {
                let run = |dtype: DType, device: &Device| {
                    let weight =
                        (random("w", &[d_out, d_in], device)? / (d_in as f64).sqrt())?.to_dtype(dtype)?;
                    Linear::new(weight, Some(row("b", d_out, device)?))?
                        .forward_act(&random("x", &[1, rows, d_in], device)?, activation)
                };
                let expected = run(DType::F32, &Device::Cpu)?;
                let name = format!("linear {rows}x{d_in} to {d_out}, {dtype:?}, {activation:?}");
                table.against(&name, tolerance, &expected, |device| run(dtype, device))?;
            }
        }
    }
    Ok(())
}

fn rows(table: &mut Table) -> Result<()> {
    let grid = Grid { t: 2, h: 5, w: 7 };
    for d in [128, 1536, 5120] {
        table.compare(&format!("RMS norm of {d}"), SINGLE, |device| {
            RmsNorm::new(row("w", d, device)?, 1e-6).forward(&random("x", &[2, 35, d], device)?)
        })?;
        table.compare(&format!("RMS norm and RoPE of {d}, from token 20"), SINGLE, |device| {
            let rope = Rope3d::new(128, grid, device)?;
            RmsNorm::new(row("w", d, device)?, 1e-6).forward_rope(
                random("x", &[1, 40, d], device)?,
                &rope,
                20,
            )
        })?;
        table.compare(&format!("RoPE of {d}"), SINGLE, |device| {
            Rope3d::new(128, grid, device)?.forward(&random("x", &[2, 40, d], device)?, 3)
        })?;
        table.compare(&format!("layer norm of {d}"), SINGLE, |device| {
            LayerNorm::plain(1e-6).forward(&random("x", &[1, 33, d], device)?)
        })?;
        table.compare(&format!("layer norm of {d}, weights"), SINGLE, |device| {
            let tensors =
                [("weight".to_owned(), row("w", d, device)?), ("bias".to_owned(), row("b", d, device)?)];
            let weights = Weights::from_tensors(tensors.into(), DType::F32, device);
            LayerNorm::load(&weights, d, 1e-6)?.forward(&random("x", &[1, 33, d], device)?)
        })?;
        table.compare(&format!("layer norm of {d}, modulated part"), SINGLE, |device| {
            let x = random("x", &[1, 40, d], device)?.narrow(1, 7, 20)?;
            LayerNorm::plain(1e-6).forward_modulated(&x, &row("a", d, device)?, &row("b", d, device)?)
        })?;
        for gate in [false, true] {
            table.compare(&format!("gated sum of {d}, gate {gate}"), SINGLE, |device| {
                let gate = if gate { Some(row("g", d, device)?) } else { None };
                let y = random("y", &[1, 9, d], device)?;
                add_gated(random("x", &[1, 40, d], device)?, 13, &y, gate.as_ref())
            })?;
        }
    }
    Ok(())
}

fn attention(table: &mut Table) -> Result<()> {
    // Queries, keys, heads, elements of a head: around the kernel's tiles of 128 queries and 64 keys.
    let sizes = [
        (1, 1, 1, 128),
        (64, 63, 3, 128),
        (127, 64, 2, 128),
        (128, 65, 2, 128),
        (129, 257, 5, 128),
        (300, 512, 12, 128),
        (1000, 1000, 40, 128),
        (100, 90, 3, 64),
    ];
    for (lq, lk, n, head) in sizes {
        let run = |precision, fused, bias: bool, score_budget: Option<usize>, device: &Device| {
            let input = |name: &str, l: usize| random(name, &[2, l, n * head], device);
            let bias = if bias { Some(random("bias", &[n, lq, lk], device)?) } else { None };
            let plain = Attention::new(n);
            let score_budget = score_budget.unwrap_or(plain.score_budget);
            let attention = Attention { precision, fused, bias: bias.as_ref(), score_budget, ..plain };
            attention.forward(&input("q", lq)?, &input("k", lk)?, &input("v", lk)?)
        };
        let name = format!("attention {lq} to {lk}, {n} heads of {head}");
        for bias in [false, true] {
            let expected = run(Precision::F32, false, bias, None, &Device::Cpu)?;
            let chunks = Some(lk * 2 * n.min(7) * 50);
            for (what, precision, fused, budget, tolerance) in [
                ("f32", Precision::F32, false, None, SINGLE),
                ("f32 in chunks", Precision::F32, false, chunks, SINGLE),
                ("bf16 in chunks", Precision::Bf16, false, chunks, HALF),
                ("bf16 fused", Precision::Bf16, true, None, HALF),
            ] {
                table.against(&format!("{name}, bias {bias}, {what}"), tolerance, &expected, |device| {
                    run(precision, fused, bias, budget, device)
                })?;
            }
        }
    }
    Ok(())
}

fn conv(table: &mut Table) -> Result<()> {
    let same = Padding::symmetric(1, 1);
    let corner = Padding { bottom: 1, right: 1, ..Padding::default() };
    let shapes = [
        ("3x3x3", [3, 3, 3], [1, 1, 1], same),
        ("1x1x1", [1, 1, 1], [1, 1, 1], Padding::default()),
        ("3x1x1, stride 2", [3, 1, 1], [2, 1, 1], Padding::default()),
        ("1x3x3, stride 2", [1, 3, 3], [1, 2, 2], corner),
        ("3x3x3, stride 2", [3, 3, 3], [2, 2, 2], same),
        ("1x2x2, stride 2", [1, 2, 2], [1, 2, 2], Padding::default()),
    ];
    for (name, kernel, stride, padding) in shapes {
        for (c_in, c_out, size) in
            [(24, 40, [5, 10, 14]), (96, 200, [3, 18, 22]), (3, 96, [4, 16, 16]), (64, 3, [2, 12, 34])]
        {
            let shape = ConvShape { c_in, c_out, kernel, stride, padding };
            let name = format!("conv {name}, {c_in} to {c_out}");
            // A norm needs an even number of channels on CUDA; models have no other.
            for fused in if c_in == 3 { &[false][..] } else { &[false, true] } {
                one_conv(table, &name, shape, size, *fused)?;
            }
        }
    }
    Ok(())
}

/// Two calls with frames of the first cached for the second, and a residual where the size stays.
fn one_conv(
    table: &mut Table,
    name: &str,
    shape: ConvShape,
    [t, h, w]: [usize; 3],
    fused: bool,
) -> Result<()> {
    let c = shape.c_in;
    let run = |dtype: DType, device: &Device| -> Result<Tensor> {
        let weights = Weights::new(Arc::new(RandomWeights { seed: 2 }), dtype, device);
        let conv = Conv3d::load(&weights.pp("conv"), shape)?;
        let gamma = [("gamma".to_owned(), row("gamma", c, device)?.reshape((c, 1, 1, 1))?)];
        let norm = ChannelNorm::load(&Weights::from_tensors(gamma.into(), dtype, device), c, 3)?;
        let read = if fused { Read { upsample: true, ..Read::norm_silu(&norm) } } else { Read::PLAIN };
        let workspace = Workspace::new(if conv.on_kernels() { Storage::F32 } else { Storage::Tensor });
        let frames = |name: &str, c: usize, t: usize, h: usize, w: usize| {
            Frames::from_tensor(&workspace, &random(name, &[c, t, h, w], device)?)
        };
        let (first, second) = (frames("x", c, t, h, w)?, frames("y", c, t, h, w)?);
        let look_back = shape.kernel[0] - 1;
        let window = Window::causal(None, &first, look_back);
        let one = conv.apply(&workspace, window, read, None)?;
        let past = if look_back > 0 { Some(Frames::tail(None, &first, look_back)?) } else { None };
        let window = Window::causal(past.as_ref(), &second, look_back);
        let [c_out, h2, w2] = one.size();
        let n = shape.frames(t + look_back);
        let residual = frames("r", c_out, n, h2, w2)?;
        let residual = (c_out % 8 == 0).then_some(&residual);
        let two = conv.apply(&workspace, window, read, residual)?;
        Tensor::cat(&[one.to_tensor()?, two.to_tensor()?], 1)
    };
    let expected = run(DType::F32, &Device::Cpu)?;
    for (dtype, tolerance) in [(DType::F32, SINGLE), (DType::BF16, HALF)] {
        let name = format!("{name}, {dtype:?}, norm, SiLU and upsampling {fused}");
        table.against(&name, tolerance, &expected, |device| run(dtype, device))?;
    }
    Ok(())
}
