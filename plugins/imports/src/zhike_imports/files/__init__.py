"""What a file is and which rows it holds, whatever they mean."""
