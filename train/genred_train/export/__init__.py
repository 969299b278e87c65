"""From a trained network to one ``model.onnx`` that is the whole pipeline."""
