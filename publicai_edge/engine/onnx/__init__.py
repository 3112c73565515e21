"""Chat models in ONNX, run by onnxruntime: what a worker loads instead of llama.cpp. Nothing here needs torch."""
