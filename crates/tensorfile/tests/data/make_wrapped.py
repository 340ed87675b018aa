"""Writes the wrapped pickles that tests/pickle.rs reads: joblib's, numpy.save's of a dictionary, PyTorch's tensors in a plain
pickle. They are what the libraries themselves write.

Run in this folder, with numpy, joblib and torch: python3 make_wrapped.py
"""
import pickle
import joblib, numpy as np, torch

tree = {
    "who": np.array([3, 4], np.int64),
    "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "objects": np.array([{"x": np.float32(0.5)}, "text"], dtype=object),
    "list": [np.zeros(0, np.float32), np.float64(1.5), np.int32(7)],
}
joblib.dump(tree, "joblib.pkl")
joblib.dump(tree, "joblib_zlib.pkl", compress=3)
with open("protocol5.pkl", "wb") as f:
    pickle.dump(tree, f, 5)
track = {"pose": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4), "turned": torch.arange(6.0).reshape(2, 3).T,
         "frame": torch.tensor([5, 6])}
np.save("track.npy", track, allow_pickle=True)
