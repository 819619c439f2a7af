-- nbdev writes a "source" link under each documented name. As long as settings.ini names no repository (git_url),
-- the link leads nowhere: drop it. With git_url filled in, the links stay.
function Link(link)
  if link.target:match("^/+blob/") then return {} end
end
