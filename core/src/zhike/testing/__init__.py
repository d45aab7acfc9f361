"""What tests of the core and of plugins share; `plugin` is loaded by pytest itself."""
