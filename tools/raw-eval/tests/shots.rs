//! A few short shots of the kinds that raw videos come in, and what must be found in them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use pipeline::Stage;
use raw_eval::{Figures, measure};
use synth::{Shot, shots};

fn figures(shot: Shot, frames: usize, until: Stage) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let (folder, work) = (dir.path().join("shot"), dir.path().join("work"));
    shots::write(shot, 1, [400, 226], frames, &folder).unwrap();
    let figures = measure(&folder, &work, until).unwrap();
    println!("{}\n{}", Figures::head_row(), figures.row(shot.name()));
    figures
}

#[test]
fn two_people_apart_keep_to_themselves() {
    let f = figures(Shot::Apart, 6, Stage::Plate);
    assert_eq!((f.people, f.switches), ([2, 2], 0));
    assert!(f.iou[0] > 0.8 && f.damaged.unwrap() < 0.01, "{:?} {:?}", f.iou, f.damaged);
}

#[test]
fn a_close_shot_stays_upright() {
    let f = figures(Shot::Turning, 6, Stage::Motion);
    assert_eq!(f.people, [1, 1]);
    assert!(f.iou[0] > 0.8 && f.seen_mm < 80.0, "{:?} {} mm", f.iou, f.seen_mm);
    assert!(f.head.iter().all(|off| *off < 0.08), "{:?}", f.head);
    assert!(f.good[1] == 0, "{:?}", f.frames);
}

#[test]
fn the_border_may_cut() {
    let f = figures(Shot::CutBottom, 6, Stage::Motion);
    assert!(f.iou[0] > 0.85 && f.good[1] == 0, "{f:?}");
}

#[test]
fn a_pole_that_is_passed_is_in_front() {
    let f = figures(Shot::Pole, 18, Stage::Motion);
    assert!(f.in_front.unwrap() > 0.25 && f.in_front_wrong < 0.05, "{:?} {}", f.in_front, f.in_front_wrong);
    assert!(f.iou[0] > 0.78 && f.good[1] <= 1, "{:?}", f.frames);
}
