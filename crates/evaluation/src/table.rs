//! An evaluation as text.

use crate::Evaluation;
use std::fmt::Write;

/// The evaluation as an aligned table.
#[must_use]
pub fn to_table(e: &Evaluation) -> String {
    let mut out =
        format!("{:<12}{:>8}{:>10}{:>9}{:>9}{:>9}\n", "region", "share", "PSNR dB", "SSIM", "L1", "ΔE");
    for (region, s) in &e.regions {
        let name = format!("{region:?}").to_lowercase();
        let share = format!("{:.1}%", 100.0 * s.share);
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "{name:<12}{share:>8}{:>10.2}{:>9.4}{:>9.3}{:>9.3}",
            s.psnr, s.ssim, s.l1, s.delta_e
        );
    }
    let _ =
        write!(out, "frames {}   flicker {:.3} (reference {:.3})", e.frames, e.flicker, e.reference_flicker);
    if let Some(energy) = e.seam_energy {
        let _ = write!(out, "   seam energy {energy:.3}");
    }
    for (i, jump) in e.window_jumps.iter().enumerate() {
        let _ = write!(out, "   boundary {} jump {jump:.2}", i + 1);
    }
    out.push('\n');
    out
}
