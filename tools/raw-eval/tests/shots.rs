//! A few short shots of the kinds that raw videos come in, and what must be found in them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use raw_eval::{Figures, measure};
use synth::{Shot, shots};

fn figures(shot: Shot) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let (folder, work) = (dir.path().join("shot"), dir.path().join("work"));
    shots::write(shot, 1, [400, 226], 6, &folder).unwrap();
    let figures = measure(&folder, &work).unwrap();
    println!("{}\n{}", Figures::head_row(), figures.row(shot.name()));
    figures
}

#[test]
fn two_people_apart_keep_to_themselves() {
    let f = figures(Shot::Apart);
    assert_eq!((f.people, f.switches), ([2, 2], 0));
    assert!(f.iou[0] > 0.8 && f.damaged < 0.01, "{:?} {}", f.iou, f.damaged);
}

#[test]
fn a_close_shot_stays_upright() {
    let f = figures(Shot::Turning);
    assert_eq!(f.people, [1, 1]);
    assert!(f.iou[0] > 0.8 && f.seen_mm < 80.0, "{:?} {} mm", f.iou, f.seen_mm);
    assert!(f.good[1] == 0, "{:?}", f.frames);
}

#[test]
fn the_border_may_cut() {
    let f = figures(Shot::CutBottom);
    assert!(f.iou[0] > 0.85 && f.good[1] == 0, "{f:?}");
}
