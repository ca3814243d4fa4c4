"""What the documentation site is made of; the pages themselves are the Markdown files beside."""
