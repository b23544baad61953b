"""Latent variables: diagonal Gaussians, vector quantisation, priors over codes."""
