"What uses a trained model: predictions, and files of them."
