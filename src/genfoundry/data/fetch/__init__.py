"""Getting raw files: a catalog of known ones, downloads, paths of the user's own. It may import `config`, `checkpoint`,
`types` and the listing of folders. It is machinery: raw files have checksums, so an edit here re-runs nothing.
"""
