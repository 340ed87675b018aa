"""Times the Python package `smplx` on PyTorch, for comparison with the bench `body` of the crate `smplx`.

    pip install torch numpy smplx==0.1.28
    python smplx_forward.py MODEL.npz          # writes a random model of the official size there first, if it is missing
    cargo run --release -p anicrafter-smplx --example forward_speed -- MODEL.npz

Prints the median time of one frame and of 81, and the peak memory over what importing the packages takes.
"""

import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import smplx
import torch

N_VERTICES, N_JOINTS, N_FACES = 10475, 55, 20908
PARENTS = [
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
]


def write_model(path):
    rng = np.random.default_rng(0)
    weights = np.zeros((N_VERTICES, N_JOINTS), np.float32)
    for i in range(4):
        joint = (np.arange(N_VERTICES) * N_JOINTS // N_VERTICES + 7 * i) % N_JOINTS
        weights[np.arange(N_VERTICES), joint] += 0.25
    regressor = np.zeros((N_JOINTS, N_VERTICES), np.float32)
    for row in regressor:
        row[rng.integers(0, N_VERTICES, 30)] = 1 / 30
    parents = np.array(PARENTS, np.int64)
    parents[0] = 2**32 - 1
    normal = lambda *shape, scale=1.0: (scale * rng.standard_normal(shape)).astype(np.float32)
    np.savez(
        path,
        v_template=normal(N_VERTICES, 3, scale=0.4),
        shapedirs=normal(N_VERTICES, 3, 400, scale=0.01),
        posedirs=normal(N_VERTICES, 3, 486, scale=0.002),
        J_regressor=regressor,
        weights=weights,
        kintree_table=np.stack([parents, np.arange(N_JOINTS)]),
        f=rng.integers(0, N_VERTICES, (N_FACES, 3)).astype(np.int64),
        hands_componentsl=normal(45, 45, scale=0.1),
        hands_componentsr=normal(45, 45, scale=0.1),
        hands_meanl=normal(45, scale=0.1),
        hands_meanr=normal(45, scale=0.1),
        lmk_faces_idx=rng.integers(0, N_FACES, 51).astype(np.int64),
        lmk_bary_coords=np.full((51, 3), 1 / 3, np.float32),
        dynamic_lmk_faces_idx=rng.integers(0, N_FACES, (79, 17)).astype(np.int64),
        dynamic_lmk_bary_coords=np.full((79, 17, 3), 1 / 3, np.float32),
    )


def milliseconds(run, seconds=3.0):
    for _ in range(3):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    path = Path(sys.argv[1])
    if not path.exists():
        write_model(path)
        print(f"wrote {path}: run again")
        return
    before = peak_mib()
    model = smplx.SMPLX(
        str(path), ext="npz", gender="neutral", num_betas=10, num_expression_coeffs=10,
        use_pca=False, flat_hand_mean=True, batch_size=1,
    )
    torch.manual_seed(0)
    for frames in (1, 81):
        turn = lambda joints: 0.3 * torch.randn(frames, joints * 3)
        inputs = {
            "betas": torch.randn(frames, 10),
            "expression": torch.randn(frames, 10),
            "global_orient": turn(1),
            "body_pose": turn(21),
            "jaw_pose": turn(1),
            "leye_pose": turn(1),
            "reye_pose": turn(1),
            "left_hand_pose": turn(15),
            "right_hand_pose": turn(15),
            "transl": torch.randn(frames, 3),
        }
        with torch.inference_mode():
            print(f"smplx_forward/{frames}: {milliseconds(lambda: model(**inputs)):.2f} ms")
    print(f"peak memory over import: {peak_mib() - before:.0f} MiB; {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
