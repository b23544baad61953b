"""Linear time-series models in float64: least squares, vector autoregression, Kalman filter, missing values."""
