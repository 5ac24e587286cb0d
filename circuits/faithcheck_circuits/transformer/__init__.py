"""The weight-sparse transformer of Gao et al. 2025 behind the Model protocol."""
