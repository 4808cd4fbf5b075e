// SPDX-License-Identifier: GPL-3.0-or-later
// Filters the clips of a batch's report; without it the page shows them all.
const rows=[...document.querySelectorAll("article")],f=document.forms[0],q=f.elements.q,s=f.elements.s
const show=()=>{const words=q.value.toLowerCase();let shown=0
for(const r of rows){const on=(!s.value||r.className===s.value)&&(!words||r.textContent.toLowerCase().includes(words))
r.hidden=!on;shown+=on}
document.getElementById("n").textContent=shown+" of "+rows.length}
f.hidden=false;f.oninput=show;f.onsubmit=e=>e.preventDefault();show()
